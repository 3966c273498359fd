"""Every signature of every engine, against real log lines: each has an excerpt, and finds its own and no other."""

import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import moorage.engines
from moorage.engines.registry import registered
from moorage.engines.shared_signatures import SIGNATURES as SHARED
from moorage.engines.signatures import Signature, diagnose

EXCERPTS = Path(__file__).parents[2] / "data" / "failures"
LEAST = 25
KIN: dict[str, frozenset[str]] = {
    "memory": frozenset({"memory", "kv-cache", "killed", "device-memory", "compute-buffers"}),
    "damaged": frozenset({"damaged", "broken", "safetensors", "tokenizer", "not-gguf", "unreadable", "truncated"}),
    "library": frozenset({"library", "glibc", "abi", "not-installed"}),
    "port": frozenset({"port-taken", "socket-taken", "socket"}),
    "check": frozenset({"check", "assertion"}),
    "tokenizer": frozenset({"tokenizer", "no-tokenizer"}),
}
"""Failures that one engine tells apart and another does not: to take one for the other is no mistake."""
LAST = "last-words"
"""What our own hosts said of their end, whatever it was."""


class Excerpt(NamedTuple):
    name: str
    source: str
    text: str


@cache
def signatures() -> dict[str, Signature]:
    """All there are, by name."""
    folder = Path(str(moorage.engines.__file__)).parent
    found: dict[str, Signature] = {}
    for file in sorted(folder.glob("*signatures.py")):
        module = importlib.import_module(f"moorage.engines.{file.stem}")
        for value in vars(module).values():
            if isinstance(value, tuple):
                for one in value:  # pyright: ignore[reportUnknownVariableType]
                    if isinstance(one, Signature):
                        assert found.setdefault(one.name, one) is one, f"two signatures are called {one.name}"
    return found


@cache
def excerpts() -> dict[str, Excerpt]:
    found = (_excerpt(path) for path in sorted(EXCERPTS.glob("*.log")))
    return {excerpt.name: excerpt for excerpt in found}


def _excerpt(path: Path) -> Excerpt:
    source, _, text = path.read_text().partition("\n")
    assert source.startswith("# "), f"{path.name} does not say where it is from"
    return Excerpt(path.name.removesuffix(".log"), source[2:], text)


def failure(name: str) -> str:
    return name.rpartition(".")[2]


def engine_of(name: str) -> str:
    return name.rpartition(".")[0]


def names() -> list[str]:
    return sorted(signatures())


def test_there_are_enough_with_a_public_report() -> None:
    assert sum(bool(signature.source) for signature in signatures().values()) >= LEAST


def test_no_excerpt_is_left_of_a_signature_that_is_gone() -> None:
    assert set(excerpts()) <= set(signatures())


@pytest.mark.parametrize("name", names())
def test_each_is_written_as_it_should_be(name: str) -> None:
    signature = signatures()[name]
    assert re.fullmatch(r"[a-z][a-z0-9.-]*\.[a-z][a-z0-9-]*", name)
    assert signature.cause
    assert not signature.cause.endswith(".")
    assert signature.fix
    assert not signature.fix.endswith(".")
    assert re.fullmatch(r"(https://[^\s()]+)?", signature.source)
    groups = re.compile(signature.pattern).groups
    used = [int(found) for text in _texts(signature) for found in re.findall(r"\{(\d+)[^}]*\}", text)]
    assert all(number < groups for number in used), f"{name} names a group that its pattern has not"


def _texts(signature: Signature) -> Iterator[str]:
    yield from (signature.cause, signature.fix, *signature.remedy.values())


@pytest.mark.parametrize("name", names())
def test_each_is_found_in_its_own_excerpt(name: str) -> None:
    """By whatever engine it belongs to, and before that engine's others; the shared ones by all."""
    signature, excerpt = signatures()[name], excerpts().get(name)
    assert excerpt is not None, f"tests/data/failures/{name}.log is missing: an excerpt of a real log"
    if signature.source:
        assert excerpt.source == signature.source
    if failure(name) == LAST:
        assert re.search(signature.pattern, excerpt.text)
        return
    own = [one for one in signatures().values() if engine_of(one.name) == engine_of(name) and failure(one.name) != LAST]
    found = diagnose(f"a line before\n{excerpt.text}", own)
    assert found is not None
    assert found.signature == name
    assert found.source == signature.source
    assert "{" not in found.cause + found.fix


@pytest.mark.parametrize("engine", [engine.name for engine in registered()])
def test_no_engine_takes_another_ones_failure_for_something_else(engine: str) -> None:
    """The shared ones it may find by its own, more particular signature."""
    own = [one for one in signatures().values() if engine_of(one.name) == engine and failure(one.name) != LAST]
    for excerpt in excerpts().values():
        found = diagnose(excerpt.text, own)
        if found is None or engine_of(excerpt.name) == engine:
            continue
        assert _akin(found.signature, excerpt.name), f"{engine} takes {excerpt.name} for {found.signature}"


@pytest.mark.parametrize("name", [one.name for one in SHARED])
def test_every_engine_knows_the_shared_ones_once_its_own_were_asked(name: str) -> None:
    text = excerpts()[name].text
    for engine in registered():
        found = engine.diagnose(text) or diagnose(text, SHARED)
        assert found is not None
        assert _akin(found.signature, name), f"{engine.name} takes {name} for {found.signature}"


def _akin(found: str, meant: str) -> bool:
    one, other = failure(found), failure(meant)
    return one == other or any({one, other} <= kin for kin in KIN.values())

"""Engines: which are installed and load, how to install the others.

Libraries are imported in processes of their own: a native library that crashes is a finding and not an end.
"""

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import metadata
from typing import Any, cast

from moorage.engines.libraries import LIBRARIES, Library
from moorage.engines.registry import ENGINES, load
from moorage.environments.bounded import Outcome, run, together
from moorage.environments.recipes import RECIPES
from moorage.errors import EngineError
from moorage.serve.doctor import programs
from moorage.serve.doctor.findings import Finding, Scope

_IMPORT = """
import importlib, json, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
sys.modules["openvino_telemetry"] = None
modules = [importlib.import_module(name) for name in sys.argv[1:]]
about = [module.get_system_info() for module in modules if hasattr(module, "get_system_info")]
print(json.dumps({"about": " ".join(about)}))
"""
"""What each library's process runs; llama.cpp tells for which instructions it was compiled.

openvino would report its import, and does without where its telemetry is not found (runtimes.host.quiet).
"""


QUIET: Mapping[str, str] = {"ORT_DISABLE_TELEMETRY": "1"}
"""ONNX Runtime would leave a device's id in the user's cache when it is imported, to report with."""

CRASHES: Mapping[str, str] = {
    "SIGILL": "it needs instructions this processor lacks",
    "SIGKILL": "the machine ran out of memory?",
}


def examine(scope: Scope) -> Iterator[Finding]:
    embedded = [name for name in ENGINES if name not in RECIPES]
    jobs = [partial(_embedded, name, scope) for name in embedded]
    found = together([*jobs, partial(_programs, scope)], scope.patience_s + 0.5)
    for name, findings in zip([*embedded, "programs"], found, strict=True):
        yield from [_slow(name, name, {})] if findings is None else findings


def _embedded(name: str, scope: Scope) -> list[Finding]:
    return [look(name, scope)]


def _programs(scope: Scope) -> list[Finding]:
    return list(programs.examine(scope))


def look(name: str, scope: Scope) -> Finding:
    """One engine of the registry."""
    library = LIBRARIES.get(name)
    if library is None:
        return _adapter(name)
    try:
        version = metadata.version(library.package)
    except metadata.PackageNotFoundError:
        return absent(name, library)
    argv = (sys.executable, "-P", "-c", _IMPORT, *library.modules)
    outcome = run(argv, scope.patience_s, {**scope.environ, **QUIET})
    return installed(name, library, version, outcome)


def absent(name: str, library: Library) -> Finding:
    belongs = f"the extra {library.extra!r} brings it" if library.extra else "it belongs to every install"
    return Finding(
        id="engines.engine",
        level="note" if library.extra else "problem",
        what=f"{name}: not installed",
        detail=f"{library.purpose}; {belongs}",
        fix=_install(requirement(library)),
        subject=name,
        facts={"installed": False, "package": library.package},
    )


def installed(name: str, library: Library, version: str, outcome: Outcome) -> Finding:
    """`outcome` is how the process ended that imported the engine's modules."""
    facts: dict[str, Any] = {"installed": True, "package": library.package, "version": version, "loads": outcome.ok}
    known = f"{library.package} {version}"
    if outcome.code is None:
        return _slow(name, known, facts)
    if not outcome.ok:
        return _broken(name, library, known, outcome, facts)
    wanted = requirement(library)
    pinned = wanted.partition("==")[2]
    if pinned and pinned != version:
        return Finding(
            id="engines.engine",
            level="warning",
            what=f"{name} of another version",
            detail=f"{known}, and this Moorage is made for {pinned}",
            fix=_install(wanted),
            subject=name,
            facts=facts,
        )
    if built_for := _built_for(outcome.out):
        facts["built_for"] = built_for
    detail = f"{known}{f', compiled for {built_for[-1]}' if built_for else ''}"
    return Finding(id="engines.engine", level="ok", what=name, detail=detail, subject=name, facts=facts)


def _broken(name: str, library: Library, known: str, outcome: Outcome, facts: dict[str, Any]) -> Finding:
    if crashed := outcome.signal_name:
        why = CRASHES.get(crashed, "the library is broken or of another system")
        detail = f"importing it ends with {crashed}: {why}"
    else:
        detail = f"cannot be imported: {outcome.last_words}"
    return Finding(
        id="engines.engine",
        level="warning" if library.extra else "problem",
        what=f"{name} does not load",
        detail=f"{known}: {detail}",
        fix=_install(f"--force-reinstall --no-cache-dir {requirement(library)}"),
        subject=name,
        facts=facts | {"signal": crashed or None},
    )


def _slow(name: str, known: str, facts: dict[str, Any]) -> Finding:
    return Finding(
        id="engines.engine",
        level="warning",
        what=f"{name} did not load in time",
        detail=f"{known}: the machine is very busy, or its disk slow",
        fix="moorage doctor, once more",
        subject=name,
        facts=facts,
    )


def _adapter(name: str) -> Finding:
    """An engine whose library is no part of this Python: only its adapter can be judged."""
    try:
        load(name)
    except EngineError as error:
        return Finding(id="engines.engine", level="problem", what=name, detail=error.message, subject=name)
    return Finding(id="engines.engine", level="ok", what=name, detail="its adapter loads", subject=name)


def requirement(library: Library) -> str:
    """The library as Moorage's own metadata wants it, such as `faster-whisper>=1.2.1,<2`."""
    for line in metadata.requires("moorage") or ():
        wanted, _, marker = line.partition(";")
        wanted = wanted.strip()
        name = wanted.partition("=")[0].rstrip("<>!~ ").partition("<")[0].partition(">")[0].strip()
        if name == library.package and (not library.extra or library.extra in marker):
            return wanted
    return library.package


def _install(what: str) -> str:
    words = [word if word.startswith("--") else shlex.quote(word) for word in what.split()]
    return f"{shlex.quote(sys.executable)} -m pip install {' '.join(words)}"


def _built_for(output: str) -> list[str]:
    """From llama.cpp's `CPU : SSE3 = 1 | AVX2 = 1 | …`: the vector instructions, the widest last."""
    try:
        told: Any = json.loads(output.splitlines()[-1])
        about = str(cast("dict[str, Any]", told)["about"])
    except (ValueError, IndexError, KeyError, TypeError):
        return []
    names = [part.rpartition(":")[2].partition("=")[0].strip() for part in about.split("|") if "= 1" in part]
    known = ("SSE3", "NEON", "AVX", "AVX2", "DOTPROD", "MATMUL_INT8", "SVE", "AVX512", "AVX512_VNNI", "AMX_INT8")
    return [name for name in known if name in names]

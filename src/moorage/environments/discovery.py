"""Which engines are here to be started as programs: those Moorage installed, and those on PATH."""

import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from moorage.environments import manifest
from moorage.environments.asking import Answer, ask
from moorage.environments.bounded import together
from moorage.environments.manifest import Manifest
from moorage.environments.recipes import RECIPES, Program
from moorage.environments.versions import age
from moorage.errors import ModelError
from moorage.models.disk import write_text
from moorage.wire.control import Installation

LIMIT_S = 60.0
"""For one program to tell of itself; a busy machine reads gigabytes for it."""
AGAIN_S = 3600.0
"""After so long, one that did not answer is asked once more."""
FOLDER = "engines"
MEMORY = "programs.json"

log = logging.getLogger(__name__)


class _Known(Struct, frozen=True, kw_only=True):
    """What a program said, as long as its file stays the same."""

    size: int
    mtime_ns: int
    version: str
    flags: tuple[str, ...] | None
    there: bool
    asked_at: float


def installations(cache_dir: Path, environ: Mapping[str, str]) -> tuple[Installation, ...]:
    """Managed ones, newest first, then those on PATH. Blocks; see Finder."""
    return Finder(cache_dir, environ).installations()


def managed(cache_dir: Path) -> tuple[Manifest, ...]:
    """What `moorage engine install` made below `cache_dir`: by engine, newest first."""
    found = (manifest.read(path.parent) for path in (cache_dir / FOLDER).glob(f"*/*/{manifest.NAME}"))
    order = {engine: place for place, engine in enumerate(RECIPES)}
    known = sorted((one for one in found if one is not None), key=lambda one: age(one.version), reverse=True)
    return tuple(sorted(known, key=lambda one: order.get(one.engine, len(order))))


class Finder:
    """Asks programs once, and remembers what they say beside the environments while their files stay the same.

    `installations` blocks as long as a new program takes to answer, otherwise a few milliseconds; it may be called
    from any thread.
    """

    def __init__(
        self, cache_dir: Path, environ: Mapping[str, str], *, limit_s: float = LIMIT_S, remember: bool = True
    ) -> None:
        self._cache_dir = cache_dir
        self._environ = environ
        self._limit_s = limit_s
        self._remember = remember
        self._one_at_a_time = threading.Lock()

    def installations(self) -> tuple[Installation, ...]:
        """Managed ones, newest first, then those on PATH. Raises nothing."""
        with self._one_at_a_time:
            own = tuple(one.installation() for one in managed(self._cache_dir))
            return (*own, *self._on_path())

    def _on_path(self) -> Iterator[Installation]:
        places = list(self._programs())
        known = self._recall()
        new = [(engine, program, path) for engine, program, path in places if not _fresh(known.get(str(path)), path)]
        if new:
            for _, _, path in new:
                log.info("asking %s for its flags", path)
            jobs = [partial(self._ask, engine, program, path) for engine, program, path in new]
            for (_, _, path), said in zip(new, together(jobs, self._limit_s + 1), strict=True):
                if said is not None:
                    known[str(path)] = said
            self._keep(known, {str(path) for _, _, path in places})
        for engine, program, path in places:
            one = known.get(str(path))
            if one is None or one.there:
                yield Installation(
                    engine=engine,
                    version=one.version if one else "",
                    command=(str(path), *program.arguments),
                    flags=one.flags if one else None,
                )

    def _programs(self) -> Iterator[tuple[str, Program, Path]]:
        places = self._environ.get("PATH", os.defpath).split(os.pathsep)
        # An empty entry would mean the folder this process happens to be in. Last: what shares this Python.
        path = os.pathsep.join((*filter(os.path.isabs, places), str(Path(sys.executable).parent)))
        for engine, recipe in RECIPES.items():
            for program in recipe.programs:
                if program.name != "python" and (found := shutil.which(program.name, path=path)):
                    yield engine, program, Path(found).absolute()

    def _ask(self, engine: str, program: Program, path: Path) -> _Known | None:
        try:
            stat = path.stat()
        except OSError:
            return None
        said: Answer = ask(program, path, RECIPES[engine], self._environ, self._limit_s)
        if said.flags is None and said.there:
            log.warning("%s does not tell its flags (%s): they are passed unchecked", path, said.why)
        return _Known(
            size=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
            version=said.version,
            flags=said.flags,
            there=said.there,
            asked_at=time.time(),
        )

    def _recall(self) -> dict[str, _Known]:
        try:
            return msgspec.json.decode((self._cache_dir / FOLDER / MEMORY).read_bytes(), type=dict[str, _Known])
        except (OSError, msgspec.DecodeError):
            return {}

    def _keep(self, known: Mapping[str, _Known], places: set[str]) -> None:
        if not self._remember:
            return
        kept = {path: one for path, one in known.items() if path in places}
        # A cache that cannot be written costs asking again, and nothing else.
        with suppress(OSError, ModelError):
            (self._cache_dir / FOLDER).mkdir(parents=True, exist_ok=True)
            write_text(self._cache_dir / FOLDER / MEMORY, msgspec.json.encode(kept).decode())


def _fresh(known: _Known | None, path: Path) -> bool:
    if known is None:
        return False
    try:
        stat = path.stat()
    except OSError:
        return True
    same = (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    return same and (known.flags is not None or time.time() - known.asked_at < AGAIN_S)

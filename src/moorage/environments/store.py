"""The engines of this machine that are programs: each in an environment of its own, versions side by side."""

import errno
import os
import shutil
import time
from collections.abc import Generator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from moorage.environments import manifest
from moorage.environments.building import Builder, Order
from moorage.environments.discovery import FOLDER, managed
from moorage.environments.manifest import Manifest
from moorage.environments.progress import OnStage, Stage
from moorage.environments.recipes import RECIPES, Recipe, Variant
from moorage.environments.tenants import evict, tenants
from moorage.environments.versions import age
from moorage.errors import EngineError
from moorage.models.disk import check_room, disk_full, in_thread, write_text
from moorage.models.lock import locked

EVICTIONS = 5
EVICTION_S = 0.2


@dataclass(frozen=True)
class Half:
    """A folder of an install that did not end, or of an environment that no longer works."""

    engine: str
    version: str
    home: Path


class EngineStore:
    """Environments below `cache_dir`: `engines/NAME/VERSION`, each with its manifest, which is written last.

    An environment cannot be moved, so it is built where it stays; a folder without a manifest counts for nothing and
    makes way for the next install. Any number of processes may share the folder.
    """

    def __init__(self, cache_dir: Path, environ: Mapping[str, str], *, recipes: Mapping[str, Recipe] = RECIPES) -> None:
        self._cache_dir = cache_dir
        self._environ = environ
        self._recipes = recipes

    def list(self) -> tuple[Manifest, ...]:
        """By engine, newest first."""
        return managed(self._cache_dir)

    def halves(self) -> tuple[Half, ...]:
        folders = sorted(path for path in (self._cache_dir / FOLDER).glob("*/*") if path.is_dir())
        return tuple(Half(home.parent.name, home.name, home) for home in folders if manifest.read(home) is None)

    async def install(self, order: Order, on_stage: OnStage) -> Manifest:
        """The environment of an engine, made if it is not there yet.

        Whatever goes wrong, nothing half-made stays. Raises EngineError, or ModelError for a full disk.
        """
        recipe = self._recipes[order.engine]
        contents = recipe.variants.get(order.variant)
        if contents is None:
            why = recipe.refused.get(order.variant, f"there are packages for {', '.join(recipe.variants)} only")
            raise EngineError(f"{order.engine} cannot be installed for {order.variant}: {why}")
        version = order.version or recipe.version
        home = self._home(order.engine, version)
        with self._writing(home):
            home.parent.mkdir(parents=True, exist_ok=True)
            async with self._locked(order.engine, version, on_stage):
                if known := manifest.read(home):
                    return _same(known, order.variant)
                await in_thread(_clear, home)
                check_room(home.parent, contents.room_bytes)
                began = time.monotonic()
                try:
                    builder = Builder(order, recipe, contents, version, home, self._environ, on_stage)
                    made = await builder.build(began)
                    # Nothing of the environment may be less durable than what says that it is there.
                    await in_thread(os.sync)
                    await in_thread(write_text, home / manifest.NAME, manifest.encoded(made))
                except BaseException:
                    await in_thread(_clear, home)
                    raise
                return made

    async def remove(self, engine: str, version: str | None, *, force: bool = False) -> Path:
        """Delete an environment. Raises EngineError where there is none, or it is in use and not `force`."""
        home = self._home(engine, self._only(engine, version))
        async with self._locked(engine, home.name, lambda stage: None):
            users = await in_thread(tenants, home) if manifest.read(home) else ()
            if users and not force:
                pids = ", ".join(map(str, users[:3]))
                raise EngineError(
                    f"{engine} {home.name} is running (process {pids}): stop what serves with it first, or take it "
                    "away from under it by --force"
                )
            with self._writing(home):
                await in_thread(_clear, home)
        with suppress(OSError):
            home.parent.rmdir()
        return home

    def _only(self, engine: str, version: str | None) -> str:
        """The version meant: the one named, else the only one."""
        there = [one.version for one in self.list() if one.engine == engine]
        there += [half.version for half in self.halves() if half.engine == engine]
        if version is not None and version in there:
            return version
        listed = ", ".join(f"{engine}=={one}" for one in sorted(there, key=age, reverse=True))
        if version is None and len(there) == 1:
            return there[0]
        if version is None and there:
            raise EngineError(f"{engine} is there in several versions: {listed}; name one")
        wanted = f"{engine}=={version}" if version else engine
        raise EngineError(f"{wanted} is not installed by moorage; {f'there are {listed}' if listed else 'none is'}")

    def _home(self, engine: str, version: str) -> Path:
        return (self._cache_dir / FOLDER / engine / version).absolute()

    def _locked(self, engine: str, version: str, on_stage: OnStage) -> AbstractAsyncContextManager[None]:
        locks = self._cache_dir / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        waiting = Stage(f"waiting: another process works on {engine} {version}")
        return locked(locks / f"engine-{engine}-{version}", waiting=lambda: on_stage(waiting))

    @contextmanager
    def _writing(self, home: Path) -> Generator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_full(home, None) from error
            raise EngineError(
                f"cannot write below {self._cache_dir}: {error.strerror or error}; set MOORAGE_CACHE_DIR to a folder "
                "you may write"
            ) from error


def _clear(home: Path) -> None:
    """Remove the folder, whatever of it is there: first what makes it count."""
    if not home.exists():
        return
    whole = manifest.read(home) is not None
    (home / manifest.NAME).unlink(missing_ok=True)
    for _ in range(EVICTIONS):
        if not whole:
            evict(home)
        # What is just ending may still write a file into a folder that was found empty.
        shutil.rmtree(home, ignore_errors=True)
        if not home.exists():
            return
        time.sleep(EVICTION_S)
    shutil.rmtree(home)


def _same(known: Manifest, variant: Variant) -> Manifest:
    if known.variant != variant:
        raise EngineError(
            f"{known.engine} {known.version} is installed for {known.variant}; to have it for {variant}, remove it "
            f"first: moorage engine remove {known.engine}=={known.version}"
        )
    return known

"""One environment in the making: interpreter, packages, patches, and whether the engine then works."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from moorage.environments import patches
from moorage.environments.asking import ask, distributions, normal, packages, quiet
from moorage.environments.bounded import Outcome, run
from moorage.environments.failures import Attempt, explain
from moorage.environments.manifest import Applied, Manifest, preload
from moorage.environments.pip import Pip, PipFailed
from moorage.environments.progress import OnStage, Stage
from moorage.environments.recipes import Contents, Program, Recipe, Variant
from moorage.environments.versions import public
from moorage.errors import EngineError
from moorage.models.disk import in_thread
from moorage.models.source import public as without_login

VENV_LIMIT_S = 120.0
CHECK_LIMIT_S = 300.0
COUNT_S = 0.5
_ABOUT = "import platform, sys; print('%d.%d' % sys.version_info[:2], platform.machine(), platform.python_version())"
_IMPORT = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be installed, and from where."""

    engine: str
    version: str | None = None
    """None takes the recipe's."""
    variant: Variant
    wheels: Path | None = None
    """A folder of wheels that is all there is; None for the package indexes of this machine."""
    python: str = ""
    """The interpreter; empty for the one Moorage runs on."""
    index_url: str = ""
    """In place of the machine's own index."""
    extra_index_urls: tuple[str, ...] = ()


class Builder:
    """Makes one environment at `home`, which must not be there."""

    def __init__(
        self,
        order: Order,
        recipe: Recipe,
        contents: Contents,
        version: str,
        home: Path,
        environ: Mapping[str, str],
        on_stage: OnStage,
    ) -> None:
        self._order = order
        self._recipe = recipe
        self._contents = contents
        self._version = version
        self._home = home
        self._environ = environ
        self._on_stage = on_stage
        self._scratch = home / "tmp"
        self._python = home / "bin" / "python"

    async def build(self, began: float) -> Manifest:
        """Raises EngineError; what it leaves behind then is for the caller to remove."""
        about, machine, python = await self._interpreter()
        wanted = tuple(text.format(version=self._version) for text in self._contents.requirements)
        attempt = Attempt(
            requirements=wanted,
            python=about,
            machine=machine,
            wheels=str(self._order.wheels or ""),
            elsewhere=self._contents.elsewhere,
            place=str(self._home.parent),
        )
        await self._make()
        pip = Pip(self._python, self._environ, self._scratch, closed=self._order.wheels is not None)
        try:
            source = await self._install(pip, wanted)
            applied = [one async for one in self._patched(pip)]
        except PipFailed as error:
            raise EngineError(f"cannot install {self._name}: {explain(error.said, attempt)}") from error
        program, flags = await self._check()
        await in_thread(shutil.rmtree, self._scratch, ignore_errors=True)
        return Manifest(
            engine=self._order.engine,
            version=self._version,
            variant=self._order.variant,
            home=str(self._home),
            command=(str(self._home / "bin" / program.name), *program.arguments),
            flags=flags,
            env=dict(self._contents.env),
            preloads=tuple(one.file for one in self._contents.preloads),
            patches=(*applied, *self._preloaded()),
            packages=distributions(self._site_packages),
            python=python,
            size_bytes=await in_thread(_size, self._home),
            installed=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - began, 1),
            source=source,
        )

    @property
    def _name(self) -> str:
        return f"{self._order.engine} {self._version}"

    @property
    def _site_packages(self) -> Path:
        return next(self._home.glob("lib/python3*/site-packages"))

    async def _interpreter(self) -> tuple[str, str, str]:
        """Its version in short, the machine it is made for, its whole version."""
        python = self._order.python or sys.executable
        outcome = await self._run(python, "-I", "-c", _ABOUT, limit_s=VENV_LIMIT_S)
        words = outcome.out.split()
        if not outcome.ok or len(words) != 3:
            raise EngineError(f"{python!r} is no Python that runs here: {outcome.last_words or 'it says nothing'}")
        return words[0], words[1], words[2]

    async def _make(self) -> None:
        self._on_stage(Stage("making the environment"))
        python = self._order.python or sys.executable
        outcome = await self._run(python, "-I", "-m", "venv", "--without-pip", str(self._home), limit_s=VENV_LIMIT_S)
        if not outcome.ok:
            raise EngineError(
                f"cannot make an environment with {python}: {outcome.last_words}; on Debian venv is a package of its "
                "own (apt install python3-venv), or name another Python by --python"
            )
        await in_thread(self._scratch.mkdir)

    async def _install(self, pip: Pip, wanted: tuple[str, ...]) -> str:
        """Where the packages are from, for people."""
        order = self._order
        if order.wheels is not None:
            await self._pip_install(pip, wanted, ("--no-index", "--find-links", str(order.wheels)))
            return str(order.wheels)
        await self._pip_install(pip, wanted, ())
        named = [without_login(url) for url in (order.index_url, *order.extra_index_urls) if url]
        return ", ".join(named) or "the package index of this machine"

    async def _pip_install(self, pip: Pip, wanted: tuple[str, ...], arguments: tuple[str, ...]) -> None:
        # In a file, for others see a command line, and an index's address may hold a password.
        listed = self._scratch / "requirements.txt"
        lines = [*(f"--extra-index-url {url}" for url in self._order.extra_index_urls), *wanted]
        if self._order.index_url:
            lines.insert(0, f"--index-url {self._order.index_url}")
        listed.touch(mode=0o600)
        listed.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        self._on_stage(Stage("resolving"))
        total: list[int] = []

        def heard(stage: Stage) -> None:
            if stage.what == "installing" and stage.total:
                total.append(stage.total)
            self._on_stage(stage)

        counting = asyncio.create_task(self._count(total))
        try:
            await pip.install((*arguments, "--requirement", str(listed)), heard)
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)

    async def _count(self, total: list[int]) -> None:
        """pip is silent while it unpacks: what is there already is told meanwhile."""
        while True:
            await asyncio.sleep(COUNT_S)
            if total:
                there = await in_thread(distributions, self._site_packages)
                self._on_stage(Stage("installing", min(len(there), total[0]), total[0]))

    async def _patched(self, pip: Pip) -> AsyncIterator[Applied]:
        for patch in self._contents.patches:
            if applied := await patches.apply(patch, pip, self._site_packages):
                self._on_stage(Stage(applied.what))
                yield applied

    def _preloaded(self) -> Iterator[Applied]:
        for one in self._contents.preloads:
            if preload(self._home, one.file):
                yield Applied(what=f"loaded first: {one.file}", why=one.why)
            elif one.without:
                yield Applied(what=f"not loaded first: {one.file}", why=f"{one.why}, but it is not here; {one.without}")

    async def _check(self) -> tuple[Program, tuple[str, ...]]:
        """Whether its modules load and its program answers: the program, and its flags. Raises EngineError."""
        self._on_stage(Stage("checking that it works"))
        env = {**quiet(self._environ), **self._preload_env()}
        here = distributions(self._site_packages)
        version = next((here[name] for name in map(normal, packages(self._recipe)) if name in here), "")
        if public(version) != public(self._version):
            raise EngineError(f"{self._name} turned out to be {version or 'another package'}; nothing was installed")
        outcome = await self._run(str(self._python), "-c", _IMPORT, *self._contents.imports, env=env)
        if not outcome.ok:
            raise EngineError(f"{self._name} does not work here: {_how(outcome)}; nothing was installed")
        said = ""
        for program in self._recipe.programs:
            executable = self._home / "bin" / program.name
            if not os.access(executable, os.X_OK):
                said = said or f"it has no program {program.name}"
                continue
            answer = await in_thread(ask, program, executable, self._recipe, env, CHECK_LIMIT_S)
            if answer.flags:
                return program, answer.flags
            said = f"{program.name} {answer.why}"
        raise EngineError(f"{self._name} does not work here: {said}; nothing was installed")

    def _preload_env(self) -> dict[str, str]:
        found = [path for one in self._contents.preloads if (path := preload(self._home, one.file))]
        return dict(self._contents.env) | ({"LD_PRELOAD": ":".join(found)} if found else {})

    async def _run(self, *argv: str, limit_s: float = CHECK_LIMIT_S, env: Mapping[str, str] | None = None) -> Outcome:
        environ = quiet(self._environ) if env is None else env
        return await in_thread(partial(run, argv, limit_s, environ))


def _how(outcome: Outcome) -> str:
    if outcome.code is None:
        return "it gave no answer in time"
    if outcome.signal_name:
        why = "; it needs instructions this processor lacks" if outcome.signal_name == "SIGILL" else ""
        return f"importing it ends with {outcome.signal_name}{why}"
    return outcome.last_words


def _size(folder: Path) -> int:
    total = 0
    for below, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(below, name).lstat().st_size
    return total

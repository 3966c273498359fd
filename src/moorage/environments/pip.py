"""pip, working on an environment other than its own. It knows this site's indexes, proxy, certificates and logins."""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from moorage.environments.progress import OnStage, Reading
from moorage.errors import EngineError

LIMIT_S = 6 * 3600.0
LINES_KEPT = 60
LINE_BYTES_MAX = 1 << 20

_UNWANTED = (
    *("USER", "REQUIRE_VIRTUALENV", "REQUIRE_HASHES", "DRY_RUN", "TARGET", "PREFIX", "ROOT", "NO_DEPS", "QUIET"),
    *("REPORT", "LOG", "EDITABLE", "REQUIREMENT", "CONSTRAINT", "PYTHON", "IGNORE_INSTALLED", "PROGRESS_BAR"),
)
"""Settings that are about installing something else."""


class PipFailed(Exception):
    """pip ended with an error; `said` is what it printed last."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class Pip:
    """This Python's pip for one environment, which needs none of its own."""

    def __init__(self, python: Path, environ: Mapping[str, str], scratch: Path, *, closed: bool) -> None:
        """`scratch`: where pip unpacks. `closed`: without any index or folder that settings of this machine name."""
        self._python = python
        self._environ = _environment(environ, scratch, closed)

    async def install(self, arguments: Sequence[str], on_stage: OnStage) -> None:
        """Raises PipFailed, and EngineError where pip does not end."""
        reading = Reading()

        def heard(line: str) -> None:
            if stage := reading.line(line):
                on_stage(stage)

        await self._run(("install", "--progress-bar", "raw", *arguments), heard)

    async def uninstall(self, packages: Sequence[str]) -> None:
        await self._run(("uninstall", "--yes", *packages), lambda line: None)

    async def _run(self, arguments: Sequence[str], heard: Callable[[str], None]) -> None:
        argv = (sys.executable, "-P", "-m", "pip", "--python", str(self._python), "--no-input", *arguments)
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=LINE_BYTES_MAX,
        )
        said: deque[str] = deque(maxlen=LINES_KEPT)
        try:
            async with asyncio.timeout(LIMIT_S):
                assert process.stdout is not None
                async for raw in process.stdout:
                    line = raw.decode(errors="replace").rstrip()
                    heard(line)
                    if line and not line.startswith("Progress "):
                        said.append(line)
                await process.wait()
        except TimeoutError as error:
            raise EngineError(f"pip did not end within {LIMIT_S / 3600:g} hours") from error
        finally:
            # Also when it ended: what it started shares its group, and must not write on.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if process.returncode != 0:
            raise PipFailed("\n".join(said))


def _environment(environ: Mapping[str, str], scratch: Path, closed: bool) -> dict[str, str]:
    """The user's pip settings, without those that are about installing."""
    unwanted = {f"PIP_{name}" for name in _UNWANTED}
    unwanted |= {"PYTHONPATH", "PYTHONHOME", "LD_PRELOAD"}
    kept = {name: value for name, value in environ.items() if name not in unwanted}
    if closed:
        kept = {name: value for name, value in kept.items() if not name.startswith("PIP_")}
        kept["PIP_CONFIG_FILE"] = os.devnull
    ours = dict.fromkeys(("PIP_USER", "PIP_REQUIRE_VIRTUALENV", "PIP_REQUIRE_HASHES"), "0")
    return {
        **kept,
        **ours,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_COLOR": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(scratch),
    }

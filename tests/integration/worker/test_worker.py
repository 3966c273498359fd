"""The worker as a whole: killed, come back, refused, alone; its API."""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moorage.errors import ConfigError, Conflict, UpstreamUnreachable
from moorage.worker.app import Worker
from moorage.worker.identity import read_identity
from moorage.worker.rundir import next_generation, replica_dir

from .conftest import TOKEN, Harbour

LEASE_S = 5.0


@contextlib.asynccontextmanager
async def started(harbour: Harbour, **changes: Any) -> AsyncGenerator[Worker]:
    worker = harbour.worker(**changes)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop(1.0)


@pytest.mark.parametrize("options", [{}, {"stubborn": 1, "grandchild": 1}])
async def test_a_killed_worker_leaves_nothing_within_six_seconds(harbour: Harbour, options: dict[str, Any]) -> None:
    process = harbour.spawn(keeper_lease_s=LEASE_S)
    harbour.controller.order(harbour.order(**options))
    await harbour.controller.until("chat-0", "ready")
    process.send_signal(signal.SIGKILL)
    process.wait()
    took_s = await harbour.gone(limit_s=8.0)
    assert 3.0 < took_s < 6.0
    directory = replica_dir(harbour.run_dir, "chat-0")
    assert sorted(os.listdir(directory)) == ["generation", "identity.json", "keeper.err"]  # no secrets, no sockets


async def test_a_worker_that_comes_back_adopts(harbour: Harbour) -> None:
    process = harbour.spawn(keeper_lease_s=3.0)
    order = harbour.order()
    harbour.controller.order(order)
    first = await harbour.controller.until("chat-0", "ready")
    process.send_signal(signal.SIGKILL)
    process.wait()
    harbour.controller.reports.clear()
    await asyncio.sleep(1.0)
    second = harbour.spawn(keeper_lease_s=3.0)
    again = await harbour.controller.until("chat-0", "ready")
    assert (again.pid, again.generation, again.token) == (first.pid, first.generation, first.token)
    assert again.why == first.why
    assert (await harbour.ask(again))[0] == 200
    assert len({hello.incarnation for hello in harbour.controller.hellos}) == 1
    await asyncio.sleep(4.0)  # the new owner renews
    assert (await harbour.ask(again))[0] == 200
    latest = harbour.controller.latest("chat-0")
    assert latest is not None
    assert latest.load.progress == 7
    second.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(second.wait, 10) == 0
    assert harbour.left() == []


async def test_other_orders_while_it_was_away(harbour: Harbour) -> None:
    process = harbour.spawn(keeper_lease_s=60.0)
    harbour.controller.order(harbour.order(), harbour.order("other-0"))
    first = await harbour.controller.until("chat-0", "ready")
    await harbour.controller.until("other-0", "ready")
    process.send_signal(signal.SIGKILL)
    process.wait()
    harbour.controller.reports.clear()
    harbour.controller.order(harbour.order(chatty=1))
    async with started(harbour):
        report = await harbour.controller.until("chat-0", "ready", generation=2)
        assert report.pid != first.pid
        await harbour.gone(10.0, "other-0")


async def test_what_a_crash_of_worker_and_keeper_left_is_swept(harbour: Harbour) -> None:
    process = harbour.spawn(keeper_lease_s=60.0)
    harbour.controller.order(harbour.order(grandchild=1))
    await harbour.controller.until("chat-0", "ready")
    identity = read_identity(str(replica_dir(harbour.run_dir, "chat-0")))
    assert identity is not None
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = harbour.left()
    os.kill(identity["keeper_pid"], signal.SIGKILL)
    await asyncio.sleep(0.2)
    assert harbour.left()  # the grandchild has a session of its own, and no keeper any more
    harbour.controller.reports.clear()
    async with started(harbour):
        report = await harbour.controller.until("chat-0", "ready")
        assert report.generation == 2
        assert not set(before) & set(harbour.left())


async def test_a_record_nobody_understands_is_no_obstacle(harbour: Harbour) -> None:
    process = harbour.spawn(keeper_lease_s=60.0)
    harbour.controller.order(harbour.order())
    first = await harbour.controller.until("chat-0", "ready")
    process.send_signal(signal.SIGKILL)
    process.wait()
    harbour.controller.reports.clear()
    (replica_dir(harbour.run_dir, "chat-0") / "replica.json").write_text('{"order": 3}')
    async with started(harbour):
        report = await harbour.controller.until("chat-0", "ready")
        assert report.pid != first.pid
        assert first.pid not in harbour.left()


async def test_without_the_controller_it_goes_on(harbour: Harbour) -> None:
    async with started(harbour):
        harbour.controller.order(harbour.order())
        first = await harbour.controller.until("chat-0", "ready")
        assert (await _get(harbour, "/ready"))[0] == 200
        await harbour.controller.stop()
        await asyncio.sleep(0.5)
        assert (await harbour.ask(first))[0] == 200
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)  # it restarts what it has
        await asyncio.sleep(2.5)
        assert (await _get(harbour, "/ready"))[0] == 503
        harbour.controller.reports.clear()
        await harbour.controller.start()
        again = await harbour.controller.until("chat-0", "ready", generation=2)
        assert (await harbour.ask(again))[0] == 200


async def test_a_silent_controller_is_left_and_met_again(harbour: Harbour) -> None:
    async with started(harbour):
        await _until(lambda: len(harbour.controller.hellos) == 1)
        harbour.controller.silent = True
        await _until(lambda: len(harbour.controller.hellos) == 2, 10.0)


async def test_a_second_worker_of_one_id_is_told_and_ends(harbour: Harbour) -> None:
    harbour.controller.conflict = True
    async with started(harbour) as worker:
        with pytest.raises(Conflict, match=r"another live worker of this id.*alive elsewhere"):
            await asyncio.wait_for(worker.wait(), 5)


async def test_two_workers_never_share_a_run_dir(harbour: Harbour) -> None:
    async with started(harbour):
        second = harbour.worker(id="w2", api_socket=harbour.folder / "other.sock")
        with pytest.raises(Conflict, match="another moorage worker uses the run directory"):
            await second.start()
        await second.stop(0.0)


async def test_directories_that_cannot_be_used(harbour: Harbour) -> None:
    worker = harbour.worker(run_dir=Path("/proc/run"))
    with pytest.raises(ConfigError, match="run directory"):
        await worker.start()
    await worker.stop(0.0)
    worker = harbour.worker(log_dir=Path("/proc/logs"))
    with pytest.raises(ConfigError, match="log directory"):
        await worker.start()
    await worker.stop(0.0)
    worker = harbour.worker(api_socket=harbour.folder / ("x" * 120))
    with pytest.raises(ConfigError, match="cannot listen on"):
        await worker.start()
    await worker.stop(0.0)
    async with started(harbour):  # the failed starts hold nothing
        await _until(lambda: bool(harbour.controller.hellos))


async def test_stop_is_quick_thorough_and_idempotent(harbour: Harbour) -> None:
    worker = harbour.worker()
    await worker.start()
    harbour.controller.order(*(harbour.order(f"m{number}-0", stubborn=1, grandchild=1) for number in range(3)))
    for number in range(3):
        await harbour.controller.until(f"m{number}-0", "ready")
    began = time.monotonic()
    await asyncio.gather(worker.stop(1.0), worker.stop(1.0))
    assert time.monotonic() - began < 6.0
    await worker.stop(1.0)
    for number in range(3):
        assert harbour.left(f"m{number}-0") == []
        latest = harbour.controller.latest(f"m{number}-0")
        assert latest is not None
        assert latest.state == "stopped"
    with pytest.raises(UpstreamUnreachable):
        await _get(harbour, "/health")


async def test_stop_during_start(harbour: Harbour) -> None:
    worker = harbour.worker()
    await worker.start()
    harbour.controller.order(harbour.order(start_s=60))
    await harbour.controller.until("chat-0", "starting")
    await worker.stop(5.0)
    assert harbour.left() == []


async def test_a_run_dir_too_long_for_sockets(harbour: Harbour) -> None:
    run_dir = harbour.folder / ("long" * 30)
    process = harbour.spawn(run_dir=run_dir, keeper_lease_s=60.0)
    harbour.controller.order(harbour.order())
    first = await harbour.controller.until("chat-0", "ready")
    process.send_signal(signal.SIGKILL)
    process.wait()
    harbour.controller.reports.clear()
    async with started(harbour, run_dir=run_dir):
        again = await harbour.controller.until("chat-0", "ready")
        assert again.pid == first.pid
        harbour.run_dir = Path(again.address.removeprefix("unix:")).parent.parent  # swept at the end
    assert harbour.left() == []
    shutil.rmtree(harbour.run_dir)


async def test_the_api_wants_the_token(harbour: Harbour) -> None:
    async with started(harbour):
        assert await _get(harbour, "/health", token="") == (200, b'{"status":"ok"}')
        assert (harbour.folder / "api.sock").stat().st_mode & 0o777 == 0o600
        for token in ("", "wrong", TOKEN[:-1]):
            status, body = await _get(harbour, "/replicas", token=token)
            assert status == 401
            assert msgspec.json.decode(body)["error"]["code"] == "invalid_api_key"


async def test_the_api_lists_replicas_without_their_secrets(harbour: Harbour) -> None:
    async with started(harbour):
        harbour.controller.order(harbour.order())
        report = await harbour.controller.until("chat-0", "ready")
        status, body = await _get(harbour, "/replicas")
        assert status == 200
        (shown,) = msgspec.json.decode(body)["replicas"]
        assert (shown["replica"], shown["state"], shown["pid"]) == ("chat-0", "ready", report.pid)
        assert report.token.encode() not in body


async def test_the_api_shows_and_follows_logs(harbour: Harbour) -> None:
    async with started(harbour):
        harbour.controller.order(harbour.order("a/chat:1", chatty=50))
        report = await harbour.controller.until("a/chat:1", "ready")
        status, body = await _get(harbour, "/replicas/a/chat:1/log?tail=2")
        assert status == 200
        lines = body.decode().splitlines()
        assert len(lines) == 2
        assert lines[0].startswith("chatty line 49")
        assert lines[1] == "tiny engine listens"
        address, seen = f"unix:{harbour.folder / 'api.sock'}", b""
        async with harbour.client.call(
            address, "GET", "/replicas/a/chat:1/log?tail=1&follow=true", token=TOKEN
        ) as reply:
            async with asyncio.timeout(5):
                async for chunk in reply.chunks():
                    seen += chunk
                    if seen.endswith(b"listens\n"):
                        assert (await harbour.ask(report, "print"))[0] == 200
                    if b"printed printed" in seen:
                        break
        began = time.monotonic()
        async with harbour.client.call(address, "GET", "/replicas/a/chat:1/log?follow=1", token=TOKEN) as reply:
            assert reply.status == 200
            stopping = asyncio.create_task(_drain(reply.chunks()))
            harbour.controller.order()
            await harbour.controller.until("a/chat:1", "stopped")
            stopping.cancel()
        assert time.monotonic() - began < 5


async def test_the_api_refuses_clearly(harbour: Harbour) -> None:
    async with started(harbour):
        harbour.controller.order(harbour.order())
        await harbour.controller.until("chat-0", "ready")
        for path, status in {
            "/replicas/unknown/log": 404,
            "/replicas/../../etc/passwd/log": 404,
            "/replicas/chat-0/log?tail=-1": 400,
            "/replicas/chat-0/log?tail=many": 400,
            "/replicas/chat-0/log?tail=99999999999": 400,
            "/nowhere": 404,
        }.items():
            assert (await _get(harbour, path))[0] == status, path


async def test_a_follower_does_not_hold_up_the_stop(harbour: Harbour) -> None:
    worker = harbour.worker()
    await worker.start()
    harbour.controller.order(harbour.order())
    await harbour.controller.until("chat-0", "ready")
    address = f"unix:{harbour.folder / 'api.sock'}"
    async with harbour.client.call(address, "GET", "/replicas/chat-0/log?follow=true", token=TOKEN) as reply:
        following = asyncio.create_task(_drain(reply.chunks()))
        began = time.monotonic()
        await worker.stop(1.0)
        assert time.monotonic() - began < 4.0
        assert b"tiny engine listens" in await asyncio.wait_for(following, 2.0)


async def test_generations_go_on_after_an_orderly_stop(harbour: Harbour) -> None:
    for generation in (1, 2):
        harbour.controller.reports.clear()
        async with started(harbour):
            harbour.controller.order(harbour.order())
            await harbour.controller.until("chat-0", "ready", generation=generation)
    assert next_generation(replica_dir(harbour.run_dir, "chat-0")) == 3


async def _drain(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def _get(harbour: Harbour, path: str, token: str = TOKEN) -> tuple[int, bytes]:
    address = f"unix:{harbour.folder / 'api.sock'}"
    async with harbour.client.call(address, "GET", path, token=token, timeout_s=5.0) as reply:
        return reply.status, await reply.read()


async def _until(condition: object, limit_s: float = 5.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)

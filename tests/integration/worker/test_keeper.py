"""The keeper with real processes: what is started, what is left, and when."""

import asyncio
import json
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from moorage.errors import EngineError
from moorage.worker.identity import marked, read_identity, start_time
from moorage.worker.keepers import KeeperLink, KeeperOrder
from moorage.worker.sweep import kill_replica, sweep

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(1000)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(1000)",
]
FAMILY = [
    sys.executable,
    "-c",
    """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])
subprocess.Popen([sys.executable, '-c', '''
import os, subprocess, sys, time
os.setsid()
subprocess.Popen([sys.executable, '-c', 'import os, time; os.setsid(); time.sleep(1000)'])
time.sleep(1000)
'''])
print('up', flush=True)
time.sleep(float(sys.argv[1]))
""",
]

Order = Callable[..., KeeperOrder]


@pytest.fixture
async def directory(short_tmp: Path) -> AsyncIterator[Path]:
    path = short_tmp / "r-0123456789"
    path.mkdir(mode=0o700)
    yield path
    kill_replica(path)


@pytest.fixture
def order(short_tmp: Path) -> Order:
    def make(argv: list[str], lease_s: object = 60.0, **more: object) -> KeeperOrder:
        fields: dict[str, object] = {"generation": 1, "remove": [], **more}
        return KeeperOrder(
            argv=argv,
            env={"PATH": os.environ["PATH"]},
            cwd=str(short_tmp),
            log=str(short_tmp / "engine.log"),
            lease_s=lease_s,  # pyright: ignore[reportArgumentType]
            **fields,  # pyright: ignore[reportArgumentType]
        )

    return make


async def test_start_tell_stop(directory: Path, order: Order, short_tmp: Path) -> None:
    secret = directory / "secret"
    secret.write_text("s")
    link = await KeeperLink.start(directory, order(SLEEP, remove=[str(secret)]))
    await _logged(short_tmp, "up")
    identity = read_identity(str(directory))
    assert identity is not None
    assert identity["engine_pid"] == link.pid
    assert os.getpgid(link.pid) == link.pid
    assert os.getsid(link.pid) == identity["keeper_pid"]
    assert sorted(marked(str(directory))) == sorted([link.pid, identity["keeper_pid"]])
    assert stat.S_IMODE((directory / "keeper.sock").stat().st_mode) == 0o600
    assert os.readlink(f"/proc/{link.pid}/fd/0") == "/dev/null"
    assert (short_tmp / "engine.log").read_text().startswith("=== generation 1 ")
    ended = await link.stop(5.0)
    assert (ended.code, ended.signal, ended.by) == (None, signal.SIGTERM, "stop")
    await link.close()
    assert marked(str(directory)) == []
    assert start_time(identity["keeper_pid"]) is None
    with pytest.raises(ProcessLookupError):
        os.kill(identity["keeper_pid"], 0)  # not even a zombie: it was reaped
    assert sorted(os.listdir(directory)) == ["identity.json", "keeper.err"]


async def test_only_standard_files_are_inherited(directory: Path, order: Order, short_tmp: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        argv = [sys.executable, "-c", "import os, time; print(os.listdir('/proc/self/fd'), flush=True); time.sleep(99)"]
        link = await KeeperLink.start(directory, order(argv))
        text = await _logged(short_tmp, "[")
        assert "'4'" not in text  # 3 is the directory being listed
        identity = read_identity(str(directory))
        assert identity is not None
        inode = os.fstat(listener.fileno()).st_ino
        folder = f"/proc/{identity['keeper_pid']}/fd"
        assert f"socket:[{inode}]" not in [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
    await link.stop(5.0)
    await link.close()


@pytest.mark.parametrize(
    ("argv", "code", "number", "text"),
    [
        ([sys.executable, "-c", "raise SystemExit(7)"], 7, None, "ended with code 7"),
        ([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], None, 11, "killed by SIGSEGV"),
        (["/does/not/exist"], 127, None, "ended with code 127"),
    ],
)
async def test_the_exit_is_told(
    directory: Path, order: Order, argv: list[str], code: int | None, number: int | None, text: str, short_tmp: Path
) -> None:
    link = await KeeperLink.start(directory, order(argv))
    ended = await asyncio.wait_for(link.exited, 10)
    assert (ended.code, ended.signal, ended.by) == (code, number, "itself")
    assert text in str(ended)
    await link.close()
    assert marked(str(directory)) == []
    if code == 127:
        assert "cannot start '/does/not/exist': [Errno 2] No such file" in (short_tmp / "engine.log").read_text()


async def test_a_stubborn_engine_is_killed_after_the_grace(directory: Path, order: Order, short_tmp: Path) -> None:
    link = await KeeperLink.start(directory, order(STUBBORN))
    await _logged(short_tmp, "up")
    began = time.monotonic()
    ended = await link.stop(0.5)
    assert ended.signal == signal.SIGKILL
    assert 0.5 <= time.monotonic() - began < 3
    await link.close()
    assert marked(str(directory)) == []


async def test_a_second_stop_can_only_hurry(directory: Path, order: Order, short_tmp: Path) -> None:
    link = await KeeperLink.start(directory, order(STUBBORN))
    await _logged(short_tmp, "up")
    patient = asyncio.create_task(link.stop(60.0))
    await asyncio.sleep(0.2)
    ended = await asyncio.wait_for(link.stop(0.1), 5)
    assert await patient == ended
    await link.close()


@pytest.mark.parametrize("life_s", ["0.3", "1000"])
async def test_children_end_with_the_engine_even_those_of_other_sessions(
    directory: Path, order: Order, life_s: str, short_tmp: Path
) -> None:
    link = await KeeperLink.start(directory, order([*FAMILY, life_s]))
    await _logged(short_tmp, "up")
    if life_s == "1000":
        await _until(lambda: len(marked(str(directory))) == 5, 5)  # keeper, engine, three descendants
        await link.stop(5.0)
    ended = await asyncio.wait_for(link.exited, 10)
    assert ended.by == ("stop" if life_s == "1000" else "itself")
    await link.close()
    assert marked(str(directory)) == []


@pytest.mark.parametrize("argv", [SLEEP, STUBBORN, [*FAMILY, "1000"]])
async def test_without_renewal_all_ends_with_the_lease(
    directory: Path, order: Order, argv: list[str], short_tmp: Path
) -> None:
    link = await KeeperLink.start(directory, order(argv, lease_s=1.0))
    await _logged(short_tmp, "up")
    await asyncio.sleep(1.5)
    assert not link.exited.done()  # the link renews
    await link.close()
    began = time.monotonic()
    await _until(lambda: not marked(str(directory)), 5)
    assert time.monotonic() - began < 1.0 + 0.5 + 0.5
    assert not (directory / "keeper.sock").exists()
    assert not (directory / "launch.json").exists()


async def test_the_engine_dies_with_its_keeper(directory: Path, order: Order, short_tmp: Path) -> None:
    link = await KeeperLink.start(directory, order([*FAMILY, "1000"]))
    await _logged(short_tmp, "up")
    identity = read_identity(str(directory))
    assert identity is not None
    os.kill(identity["keeper_pid"], signal.SIGKILL)
    ended = await asyncio.wait_for(link.exited, 5)
    assert ended.by == "keeper"
    assert marked(str(directory)) == []
    await link.close()


async def test_sigterm_to_the_keeper_stops_the_engine(directory: Path, order: Order, short_tmp: Path) -> None:
    link = await KeeperLink.start(directory, order(STUBBORN, stop_grace_s=0.3))
    await _logged(short_tmp, "up")
    identity = read_identity(str(directory))
    assert identity is not None
    os.kill(identity["keeper_pid"], signal.SIGTERM)
    assert (await asyncio.wait_for(link.exited, 5)).by == "signal"
    await link.close()
    assert marked(str(directory)) == []


async def test_another_owner_adopts(directory: Path, order: Order, short_tmp: Path) -> None:
    link = await KeeperLink.start(directory, order(SLEEP, lease_s=1.0, generation=4))
    await link.close()
    adopted = await KeeperLink.adopt(directory, 1.0)
    assert adopted is not None
    assert (adopted.pid, adopted.generation) == (link.pid, 4)
    await asyncio.sleep(1.5)
    assert not adopted.exited.done()
    await adopted.stop(5.0)
    await adopted.close()
    assert await KeeperLink.adopt(directory, 1.0) is None


async def test_the_exit_waits_for_whoever_asks_next(directory: Path, order: Order) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(0.5); raise SystemExit(5)"]
    link = await KeeperLink.start(directory, order(argv))
    await link.close()
    await asyncio.sleep(1.0)
    reader, writer = await asyncio.open_unix_connection(str(directory / "keeper.sock"))
    state = json.loads(await reader.readline())
    assert (state["state"], state["code"]) == ("exited", 5)
    writer.write(b'{"ack": true}\n')
    assert await asyncio.wait_for(reader.read(), 2) == b""
    writer.close()
    await _until(lambda: not marked(str(directory)), 2)


@pytest.mark.parametrize(
    "nonsense",
    [b"\n", b"nonsense\n", b"[]\n", b"{}\n", b'{"renew": "x"}\n', b'{"renew": NaN}\n', b'{"stop": -1}\n', b"x" * 9000],
)
async def test_nonsense_ends_the_connection_not_the_engine(directory: Path, order: Order, nonsense: bytes) -> None:
    link = await KeeperLink.start(directory, order(SLEEP))
    reader, writer = await asyncio.open_unix_connection(str(directory / "keeper.sock"))
    assert json.loads(await reader.readline())["state"] == "running"
    writer.write(nonsense)
    try:
        assert await asyncio.wait_for(reader.read(), 5) == b""
    except ConnectionResetError:
        pass
    finally:
        writer.close()
    assert not link.exited.done()
    assert start_time(link.pid) is not None
    await link.stop(5.0)
    await link.close()


async def test_a_full_log_disk_ends_nothing(directory: Path, order: Order, short_tmp: Path) -> None:
    argv = [sys.executable, "-c", "import os, time\ntry: os.write(1, b'x')\nexcept OSError: pass\ntime.sleep(1000)"]
    (short_tmp / "engine.log").symlink_to("/dev/full")
    link = await KeeperLink.start(directory, order(argv))
    await asyncio.sleep(0.3)
    assert not link.exited.done()
    await link.stop(5.0)
    await link.close()


async def test_a_keeper_that_cannot_read_its_orders_says_why(directory: Path, order: Order) -> None:
    with pytest.raises(EngineError, match="keeper could not start: TypeError"):
        await KeeperLink.start(directory, order(SLEEP, lease_s="soon"))
    assert marked(str(directory)) == []


async def test_a_keeper_that_fails_later_says_why(directory: Path, order: Order) -> None:
    (directory / "identity.json.new").mkdir()  # what it writes once the engine runs
    try:
        link = await KeeperLink.start(directory, order(SLEEP))
    except EngineError as error:  # it failed before it was met
        said = error.message
    else:
        ended = await asyncio.wait_for(link.exited, 5)
        assert ended.by == "keeper"
        await link.close()
        said = str(ended)
    assert "identity.json.new" in said
    assert marked(str(directory)) == []


async def test_sweep_ends_what_has_no_keeper_and_leaves_what_has(
    directory: Path, order: Order, short_tmp: Path
) -> None:
    link = await KeeperLink.start(directory, order([*FAMILY, "1000"]))
    await _logged(short_tmp, "up")
    await _until(lambda: len(marked(str(directory))) == 5, 5)
    assert sweep(short_tmp) == [directory]
    assert not link.exited.done()
    (directory / "generation").write_text("3")
    await link.close()
    identity = read_identity(str(directory))
    assert identity is not None
    os.kill(identity["keeper_pid"], signal.SIGKILL)
    await _until(lambda: read_identity(str(directory)) is None, 5)
    assert sweep(short_tmp) == []
    assert marked(str(directory)) == []
    assert os.listdir(directory) == ["generation"]


async def _logged(folder: Path, text: str) -> str:
    log = folder / "engine.log"
    found = ""

    def there() -> bool:
        nonlocal found
        found = log.read_text().partition("\n")[2] if log.exists() else ""
        return text in found

    await _until(there, 10)
    return found


async def _until(condition: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)

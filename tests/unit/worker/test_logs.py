import asyncio
from pathlib import Path

import pytest

from moorage.worker.logs import follow, last_start, log_path, tail


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "a_b", ".hidden", "x" * 300, "ä", ""])
def test_every_replica_has_a_file_of_its_own_in_the_log_dir(name: str, tmp_path: Path) -> None:
    path = log_path(tmp_path, name)
    assert path.parent == tmp_path
    assert path != log_path(tmp_path, name + "/")
    assert len(path.name) < 255


def test_tail(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert tail(path, 5) == (b"", 0)
    path.write_text("".join(f"line {number}\n" for number in range(100)))
    assert tail(path, 2)[0] == b"line 98\nline 99\n"
    assert tail(path, 0) == (b"", path.stat().st_size)
    assert tail(path, 1000, max_bytes=9)[0].endswith(b"\nline 99\n")


def test_last_start_begins_after_the_last_header(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("=== generation 1 now: x\nold\n=== generation 2 now: x\nnew\nlines\n")
    assert last_start(path) == "new\nlines\n"
    path.write_text("no header\n")
    assert last_start(path) == "no header\n"


async def test_follow_sees_what_is_added_and_survives_rotation(tmp_path: Path) -> None:
    path, stop = tmp_path / "a.log", asyncio.Event()
    path.write_text("one\ntwo\n")
    pieces = follow(path, 1, stop)
    assert await anext(pieces) == b"two\n"
    with path.open("a") as file:
        file.write("three\n")
    assert await anext(pieces) == b"three\n"
    path.write_text("cut\n")
    assert await anext(pieces) == b"cut\n"
    path.rename(tmp_path / "a.log.1")
    path.write_text("a new file, longer\n")
    assert await anext(pieces) == b"a new file, longer\n"
    path.unlink()
    await asyncio.sleep(0.3)
    path.write_text("back\n")
    assert await anext(pieces) == b"back\n"
    stop.set()
    assert [piece async for piece in pieces] == []


async def test_follow_of_a_file_not_there_yet(tmp_path: Path) -> None:
    path, stop = tmp_path / "a.log", asyncio.Event()
    pieces = follow(path, 10, stop)
    waiting = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0.05)
    path.write_text("first\n")
    assert await waiting == b"first\n"
    await pieces.aclose()

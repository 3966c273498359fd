import asyncio
import os
import resource
from pathlib import Path

import pytest

from moorage.errors import NoRoom
from moorage.gateway.bodies.spool import PIECE_BYTES, Spool


async def read(spool: Spool, begin: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in spool.read(begin, spool.size if end is None else end)])


def held(folder: Path) -> list[str]:
    """Files below `folder` that this process has open, those without a name too."""
    found: list[str] = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:
            continue
        found += [path] if path.startswith(str(folder)) else []
    return found


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 17])
async def test_what_went_in_comes_out_as_often_as_asked(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    spool = Spool(str(tmp_path))
    for begin in range(0, size, 65_537):
        await spool.append(content[begin : begin + 65_537])
    assert spool.size == size
    assert await read(spool) == await read(spool) == content
    for begin, end in ((0, 10), (size // 2, size), (PIECE_BYTES - 5, PIECE_BYTES + 5), (size, size)):
        assert await read(spool, min(begin, size), min(end, size)) == content[begin:end]
    assert os.listdir(tmp_path) == []
    assert len(held(tmp_path)) == (size >= PIECE_BYTES)
    spool.close()
    spool.close()
    assert held(tmp_path) == []


async def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    await spool.append(bytes(PIECE_BYTES))
    (descriptor,) = (int(fd) for fd in os.listdir("/proc/self/fd") if _path(fd).startswith(str(tmp_path)))
    assert os.fstat(descriptor).st_mode & 0o777 == 0o600
    assert os.fstat(descriptor).st_nlink == 0
    spool.close()


def _path(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:
        return ""


async def test_many_read_at_once(tmp_path: Path) -> None:
    content = os.urandom(4 * PIECE_BYTES)
    spool = Spool(str(tmp_path))
    await spool.append(content)
    assert await asyncio.gather(*(read(spool) for _ in range(8))) == [content] * 8
    spool.close()


@pytest.mark.parametrize("pieces", [1, 4])
async def test_a_writer_that_is_cancelled_leaves_nothing_open(tmp_path: Path, pieces: int) -> None:
    for delay_s in (0.0, 0.0005, 0.002, 0.01):
        spool = Spool(str(tmp_path))

        async def write(spool: Spool = spool) -> None:
            for _ in range(pieces):
                await spool.append(bytes(8 * PIECE_BYTES))

        task = asyncio.create_task(write())
        await asyncio.sleep(delay_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        spool.close()
        async with asyncio.timeout(2):
            while held(tmp_path):
                await asyncio.sleep(0.001)


async def test_a_reader_whose_upload_is_gone_is_told(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    await spool.append(bytes(3 * PIECE_BYTES))
    reading = spool.read(0, spool.size)
    await anext(reading)
    spool.close()
    with pytest.raises(ValueError, match="let go"):
        await anext(reading)


async def test_a_full_disk_is_said(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PIECE_BYTES // 2, hard))
    spool = Spool(str(tmp_path))
    try:
        with pytest.raises(NoRoom, match="no room to keep the upload") as refused:
            await spool.append(bytes(2 * PIECE_BYTES))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        spool.close()
    assert str(tmp_path) not in refused.value.message
    assert refused.value.headers()["retry-after"] == "10"


async def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "gone"))
    with pytest.raises(NoRoom):
        await spool.append(bytes(PIECE_BYTES))
    spool.close()

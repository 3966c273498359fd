"""One file from a web server, however often the connection breaks: retried, resumed, checked."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from http import HTTPStatus
from pathlib import Path

import aiohttp
import msgspec

from moorage.errors import ModelError
from moorage.models import web
from moorage.models.attempts import Attempts, Patience, Retry, exchange, refusal
from moorage.models.disk import BLOCK_BYTES, OnProgress, check_room, in_thread, writing_to
from moorage.models.source import public
from moorage.wire.control import Progress

Refused = Callable[[str, aiohttp.ClientResponse], Exception]
"""What an answer that is not the file means: Retry, or a ModelError that says what to do."""


class PartState(msgspec.Struct, kw_only=True):
    """What stands beside a half-fetched file, so that another process can go on with it."""

    source: str
    sha256: str | None
    validator: str = ""
    """Strong ETag or Last-Modified of what the bytes are from; empty where the server gave none."""
    total: int | None = None


def state_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def read_state(part: Path) -> PartState | None:
    try:
        return msgspec.json.decode(state_path(part).read_bytes(), type=PartState)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def discard(part: Path) -> None:
    """Remove a half-fetched file and its state."""
    part.unlink(missing_ok=True)
    state_path(part).unlink(missing_ok=True)


async def download(
    url: str,
    part: Path,
    *,
    sha256: str | None,
    source: str,
    patience: Patience,
    on_progress: OnProgress | None = None,
    session: aiohttp.ClientSession | None = None,
    refused: Refused = refusal,
) -> str:
    """Fetch `url` into `part`, going on from what an earlier try left there; the sha256 of what came.

    When it returns, `part` is whole and, where `sha256` is given, has that checksum. After a failure that may pass,
    `part` and its state stay for the next try; after a full disk or a wrong checksum nothing stays.
    Raises ModelError.
    """
    job = _Job(url, part, sha256, source, patience, on_progress, refused)
    try:
        if session is not None:
            return await job.run(session)
        async with web.session(connect_s=patience.connect_s, stall_s=patience.stall_s) as own:
            return await job.run(own)
    except (ModelError, asyncio.CancelledError) as error:
        useless = isinstance(error, ModelError) and error.error_code in ("disk_full", "checksum_mismatch")
        if useless or job.empty:
            discard(part)
        raise
    finally:
        job.close()


class _Job:
    def __init__(
        self,
        url: str,
        part: Path,
        sha256: str | None,
        source: str,
        patience: Patience,
        on_progress: OnProgress | None,
        refused: Refused,
    ) -> None:
        self._url = url
        self._part = part
        self._sha256 = sha256
        self._patience = patience
        self._on_progress = on_progress
        self._refused = refused
        self._state = PartState(source=source, sha256=sha256)
        with self._writing():
            self._file = part.open("ab+", buffering=0)
        self._digest = hashlib.sha256()
        self._size = 0
        self._pieced = False
        """Whether the bytes are from more than one reply."""

    @property
    def empty(self) -> bool:
        return self._size == 0

    def close(self) -> None:
        self._file.close()

    async def run(self, session: aiohttp.ClientSession) -> str:
        await self._take_up()
        await self._fetch(session)
        if self._wrong() and self._pieced:
            # Bytes of two different files, or a bad disk: once more, from the start.
            await self._restart()
            await self._fetch(session)
        if self._wrong():
            raise ModelError(
                f"{public(self._url)} has another checksum than expected: sha256 is {self._digest.hexdigest()}, "
                f"wanted {self._sha256}; nothing was kept. Correct the sha256, or the file there was replaced"
                + self._hint(),
                code="checksum_mismatch",
            )
        return self._digest.hexdigest()

    def _wrong(self) -> bool:
        return self._sha256 is not None and self._digest.hexdigest() != self._sha256

    def _hint(self) -> str:
        beginning = os.pread(self._file.fileno(), 512, 0).lstrip().lower()
        return " (it looks like a web page)" if beginning.startswith((b"<!doctype html", b"<html")) else ""

    async def _take_up(self) -> None:
        """Count and hash what an earlier try left, if it is surely of the same file."""
        left = read_state(self._part)
        if left is None or left.sha256 != self._sha256 or not (left.validator or self._sha256):
            await self._restart()
            return
        self._state = left

        def step() -> int:
            block = os.pread(self._file.fileno(), 8 * BLOCK_BYTES, self._size)
            self._digest.update(block)
            self._size += len(block)
            return len(block)

        while await in_thread(step):
            self._tell("verifying")
        self._pieced = self._size > 0

    async def _restart(self) -> None:
        with self._writing():
            self._file.truncate(0)
            state_path(self._part).unlink(missing_ok=True)
        self._digest = hashlib.sha256()
        self._size = 0
        self._pieced = False
        self._state = PartState(source=self._state.source, sha256=self._sha256)

    async def _fetch(self, session: aiohttp.ClientSession) -> None:
        """Attempts until the file is whole. The count starts again whenever a try brought new bytes."""
        attempts, best = Attempts(self._url, self._patience), self._size
        while True:
            try:
                await self._attempt(session)
                return
            except Retry as error:
                fresh, best = self._size >= best + BLOCK_BYTES, max(best, self._size)
                await attempts.failed(error, fresh=fresh, kept=self._size > 0)

    async def _attempt(self, session: aiohttp.ClientSession) -> None:
        if self._size and not (self._state.validator or self._sha256):
            await self._restart()  # nothing would tell that the next part is of the same file
        if self._state.total is not None and self._size == self._state.total:
            return
        with exchange(self._url, self._patience):
            response = await web.get(session, self._url, self._range())
            async with response:
                if await self._begin(response):
                    await self._body(response)

    def _range(self) -> dict[str, str]:
        if not self._size:
            return {}
        headers = {"Range": f"bytes={self._size}-"}
        if self._state.validator:
            headers["If-Range"] = self._state.validator
        return headers

    async def _begin(self, response: aiohttp.ClientResponse) -> bool:
        """Judge status and headers; False when nothing is left to read."""
        status = response.status
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self._size:
            if web.whole_bytes(response) == self._size and self._sha256:
                return False
            await self._restart()
            raise Retry("the server no longer has the part that was missing", wait_s=0.0)
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise self._refused(self._url, response)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ModelError(f"{public(self._url)} comes compressed though asked not to; its server is misconfigured")
        validator, total = web.validator(response.headers), response.content_length
        if status == HTTPStatus.PARTIAL_CONTENT:
            total = web.whole_bytes(response)
            if web.part_start(response) != self._size or self._of_another(validator, total):
                await self._restart()
                raise Retry("the server sent another part than asked for, or of another file", wait_s=0.0)
            self._pieced = self._size > 0
        elif self._size:
            await self._restart()
        self._state.validator, self._state.total = validator or self._state.validator, total
        folder = self._part.parent
        with self._writing():
            state_path(self._part).write_bytes(msgspec.json.encode(self._state))
        if total is not None:
            check_room(folder, total - self._size)
        return True

    def _of_another(self, validator: str, total: int | None) -> bool:
        """Whether the server now speaks of another file than the one begun. What it leaves unsaid is no sign."""
        known = self._state
        return bool(validator and known.validator and validator != known.validator) or (
            total is not None and known.total is not None and total != known.total
        )

    async def _body(self, response: aiohttp.ClientResponse) -> None:
        block = bytearray()
        try:
            while data := await response.content.readany():
                block += data
                if len(block) >= BLOCK_BYTES:
                    full, block = block, bytearray()
                    await self._keep(full)
        finally:
            # What came before a break (or a cancellation) is kept for the next try.
            await self._keep(block)
        if self._state.total is not None and self._size != self._state.total:
            came, total = self._size, self._state.total
            if came > total:
                await self._restart()
            raise Retry(f"{came} bytes came where {total} were announced")

    async def _keep(self, block: bytearray) -> None:
        if not block:
            return

        def write() -> None:
            view = memoryview(block)
            while view:
                count = self._file.write(view)
                self._digest.update(view[:count])
                self._size += count
                view = view[count:]

        with self._writing():
            await in_thread(write)
        self._tell("downloading")

    def _tell(self, what: str) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(what=what, done=self._size, total=self._state.total))

    def _writing(self) -> AbstractContextManager[None]:
        return writing_to(
            self._part.parent, lambda: None if self._state.total is None else self._state.total - self._size
        )

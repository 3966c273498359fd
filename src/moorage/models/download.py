"""One file from a web server, however often the connection breaks: retried, resumed, checked."""

import asyncio
import hashlib
import os
import random
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
import msgspec

from moorage.errors import ModelError
from moorage.models import web
from moorage.models.disk import BLOCK_BYTES, OnProgress, check_room, in_thread, writing_to
from moorage.models.source import public
from moorage.wire.control import Progress

UNREACHABLE = "source_unreachable"
"""Code of the ModelError that says: this client may not or cannot get there; another one might."""

_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a download puts up with a bad connection."""

    connect_s: float = 15.0
    stall_s: float = 60.0
    """Longest silence of a server that still owes bytes."""
    attempts: int = 5
    """Failures in a row, without new bytes between them, before giving up."""
    backoff_s: float = 1.0
    """Wait before the second attempt; doubles each time."""
    max_wait_s: float = 120.0
    """Longest Retry-After that is waited for."""


class PartState(msgspec.Struct, kw_only=True):
    """What stands beside a half-fetched file, so that another process can go on with it."""

    source: str
    sha256: str | None
    validator: str = ""
    """Strong ETag or Last-Modified of what the bytes are from; empty where the server gave none."""
    total: int | None = None


class _Retry(Exception):
    """This attempt failed in a way that the next may not."""

    def __init__(self, why: str, *, wait_s: float | None = None, code: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.wait_s = wait_s
        self.code = code


def state_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def read_state(part: Path) -> PartState | None:
    try:
        return msgspec.json.decode(state_path(part).read_bytes(), type=PartState)
    except (OSError, msgspec.DecodeError):
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
) -> str:
    """Fetch `url` into `part`, going on from what an earlier try left there; the sha256 of what came.

    When it returns, `part` is whole and, where `sha256` is given, has that checksum. After a failure that may pass,
    `part` and its state stay for the next try; after a full disk or a wrong checksum nothing stays.
    Raises ModelError.
    """
    job = _Job(url, part, sha256, source, patience, on_progress)
    try:
        return await job.run()
    except (ModelError, asyncio.CancelledError) as error:
        useless = isinstance(error, ModelError) and error.error_code in ("disk_full", "checksum_mismatch")
        if useless or job.empty:
            discard(part)
        raise
    finally:
        job.close()


class _Job:
    def __init__(
        self, url: str, part: Path, sha256: str | None, source: str, patience: Patience, on_progress: OnProgress | None
    ) -> None:
        self._url = url
        self._part = part
        self._sha256 = sha256
        self._patience = patience
        self._on_progress = on_progress
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

    async def run(self) -> str:
        await self._take_up()
        async with web.session(connect_s=self._patience.connect_s, stall_s=self._patience.stall_s) as session:
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
        failures, best = 0, self._size
        while True:
            try:
                await self._attempt(session)
                return
            except _Retry as error:
                failures = 1 if self._size >= best + BLOCK_BYTES else failures + 1
                best = max(best, self._size)
                wait_s = self._wait_s(error, failures)
                if failures >= self._patience.attempts or wait_s > self._patience.max_wait_s:
                    later = f"; it asks to come back in {wait_s:.0f} s" if error.wait_s else ""
                    kept = "; what is here is kept, try again to go on from there" if self._size else ""
                    raise ModelError(
                        f"cannot fetch {public(self._url)}: {error.why} (tried {failures} times){later}{kept}",
                        code=error.code,
                    ) from error
            await asyncio.sleep(wait_s)

    def _wait_s(self, error: _Retry, failures: int) -> float:
        if error.wait_s is not None:
            return error.wait_s
        return min(self._patience.backoff_s * 2 ** (failures - 1), 30.0) * random.uniform(0.75, 1.25)

    async def _attempt(self, session: aiohttp.ClientSession) -> None:
        if self._size and not (self._state.validator or self._sha256):
            await self._restart()  # nothing would tell that the next part is of the same file
        if self._state.total is not None and self._size == self._state.total:
            return
        try:
            response = await web.get(session, self._url, self._range())
            async with response:
                if await self._begin(response):
                    await self._body(response)
        except aiohttp.ClientHttpProxyError as error:
            raise ModelError(
                f"the proxy refused {public(self._url)}: {error.status} {error.message}", code=UNREACHABLE
            ) from error
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
            raise ModelError(
                f"cannot trust the server of {public(self._url)}: {error}; "
                "name your certificate authority's file in SSL_CERT_FILE",
                code=UNREACHABLE,
            ) from error
        except aiohttp.InvalidURL as error:
            raise ModelError(f"{public(self._url)!r} is not a URL: {error}") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise _Retry(f"no connection within {self._patience.connect_s:g} s", code=UNREACHABLE) from error
        except TimeoutError as error:
            raise _Retry(f"the server was silent for {self._patience.stall_s:g} s", code=UNREACHABLE) from error
        except aiohttp.ClientConnectorError as error:
            raise _Retry(f"no connection: {error}", code=UNREACHABLE) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise _Retry(f"the connection broke: {error or type(error).__name__}") from error

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
            raise _Retry("the server no longer has the part that was missing", wait_s=0.0)
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise _refusal(self._url, response)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ModelError(f"{public(self._url)} comes compressed though asked not to; its server is misconfigured")
        validator, total = web.validator(response.headers), response.content_length
        if status == HTTPStatus.PARTIAL_CONTENT:
            total = web.whole_bytes(response)
            if web.part_start(response) != self._size or self._of_another(validator, total):
                await self._restart()
                raise _Retry("the server sent another part than asked for, or of another file", wait_s=0.0)
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
            raise _Retry(f"{came} bytes came where {total} were announced")

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


def _refusal(url: str, response: aiohttp.ClientResponse) -> Exception:
    status = response.status
    name = f"{status} {response.reason or ''}".strip()
    if status in _RETRIED:
        return _Retry(f"the server answers {name}", wait_s=web.retry_after_s(response.headers))
    where = public(url)
    match status:
        case 401 | 403 | 407:
            why = f"{where} is not open to this machine ({name}); put the credentials into ~/.netrc or the URL"
            return ModelError(why, code=UNREACHABLE)
        case 404 | 410:
            return ModelError(f"{where} does not exist ({name}); check the address")
        case _:
            return ModelError(f"cannot fetch {where}: the server answers {name}")

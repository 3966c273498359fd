"""Recordings worked on: admitted in order of arrival, a thread each, stopped when nobody waits for them any more."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator
from typing import BinaryIO

from moorage.errors import InternalError, MoorageError
from moorage.runtimes.host.metrics import Counters
from moorage.runtimes.host.priority import background
from moorage.runtimes.whisper.library import Library, Stopped
from moorage.runtimes.whisper.transcriber import Heard, Order, Transcription
from moorage.wire.runtime import SpeechSettings

log = logging.getLogger(__name__)


class Jobs:
    """Used on one event loop, but for what is said otherwise."""

    def __init__(self, library: Library, settings: SpeechSettings) -> None:
        self.library = library
        self.settings = settings
        self.counters = Counters()
        self.turn = asyncio.Semaphore(settings.max_calls)
        self.queued = 0
        self.running: set[Job] = set()
        self._steps = 0
        self._audio_s = 0.0
        self._lock = threading.Lock()

    def stepped(self) -> None:
        """From any thread: the model takes a step."""
        with self._lock:
            self._steps += 1

    def read(self, seconds: float) -> None:
        """From any thread: so much more of a recording was read."""
        with self._lock:
            self._audio_s += seconds

    @property
    def steps(self) -> int:
        return self._steps

    @property
    def audio_s(self) -> float:
        return self._audio_s

    async def stop(self) -> None:
        """Every job ends at its next step, and is waited for: no process may end under a thread of the library."""
        running = list(self.running)
        for job in running:
            job.stopped.set()
        await asyncio.to_thread(lambda: [job.thread.join() for job in running])


class Job:
    """One recording: construct → iterate `heard` → read `language` and `duration_s`. It closes the file."""

    def __init__(self, jobs: Jobs, file: BinaryIO, order: Order) -> None:
        self._jobs = jobs
        self.order = order
        self._file = file
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[Heard | MoorageError | None] = asyncio.Queue()
        self._transcription = Transcription(jobs.library, order, jobs.settings.max_audio_s, self._read)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._work, name="recording", daemon=True)

    @property
    def language(self) -> str:
        """`unknown` where nothing was said."""
        return self._transcription.language or "unknown"

    @property
    def duration_s(self) -> float:
        return self._transcription.duration_s

    async def heard(self) -> AsyncGenerator[Heard]:
        """Segments as they are heard. Leaving early ends the work at the model's next step. Raises MoorageError."""
        await self._admitted()
        counters = self._jobs.counters
        counters.calls += 1
        try:
            while (arrived := await self._arrived.get()) is not None:
                if isinstance(arrived, MoorageError):
                    raise arrived
                yield arrived
            counters.finished += 1
        except MoorageError:
            counters.failed += 1
            raise
        except (asyncio.CancelledError, GeneratorExit):
            counters.cancelled += 1
            raise
        finally:
            self.stopped.set()

    async def _admitted(self) -> None:
        """Its turn has come, and its thread runs."""
        jobs = self._jobs
        jobs.queued += 1
        try:
            await jobs.turn.acquire()
        except asyncio.CancelledError:
            self._file.close()
            raise
        finally:
            jobs.queued -= 1
        jobs.running.add(self)
        self.thread.start()

    def _work(self) -> None:
        background(self._jobs.settings.niceness)
        end: MoorageError | None = None
        try:
            self._jobs.library.watch(self._step)
            for heard in self._transcription.segments(self._file):
                self._tell(heard)
        except Stopped:
            end = None
        except MoorageError as error:
            end = error
        except Exception as error:
            log.exception("a recording failed")
            end = InternalError(f"the runtime failed: {type(error).__name__}; its log has more")
        finally:
            self._file.close()
            self._tell(end)
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._ended)

    def _tell(self, arrived: Heard | MoorageError | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, arrived)

    def _ended(self) -> None:
        self._jobs.running.discard(self)
        self._jobs.turn.release()

    def _step(self) -> None:
        self._check()
        self._jobs.stepped()

    def _read(self, seconds: float) -> None:
        self._check()
        self._jobs.read(seconds)

    def _check(self) -> None:
        if self.stopped.is_set():
            raise Stopped

"""The engine's steps, on the event loop: between two of them clients are heard, and what was written is given out.

The library holds the interpreter's lock while it steps, so a thread for it would leave no more time to anybody.
"""

import asyncio
import faulthandler
import sys
import time
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from moorage.errors import EngineError, InternalError, MoorageError
from moorage.runtimes.openvino.library import Handle, Library, Output, said

TURNS = 8
"""Of the event loop between two steps: as many as a call needs from its bytes to the engine. They cost microseconds."""
HUNG_S = 120.0
"""A step that takes so long ends the process: it would never come back, and nothing here could say so."""
WATCH_AGAIN_S = 10.0
STDERR = 2


class Run:
    """One sequence in the engine."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self._outputs: deque[Output] = deque()
        self._changed = asyncio.Event()
        self._error: MoorageError | None = None

    def put(self, output: Output) -> None:
        self._outputs.append(output)
        self._changed.set()

    def fail(self, error: MoorageError) -> None:
        self._error = error
        self._changed.set()

    async def outputs(self) -> AsyncGenerator[Output]:
        """Until one that says how it finished. Raises MoorageError."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._outputs:
                output = self._outputs.popleft()
                yield output
                if output.finish is not None:
                    return
            if self._error is not None:
                raise self._error


class Stepper:
    """start → submit → stop."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._runs: set[Run] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._watched_at = 0.0
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends with an EngineError when the library failed: the process is of no use any more."""
        self.steps = 0

    @property
    def held(self) -> int:
        """Sequences in the engine whose readers are still there."""
        return len(self._runs)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="steps")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        faulthandler.cancel_dump_traceback_later()
        self.failure.cancel()

    def submit(self, tokens: Sequence[int], fields: Mapping[str, Any]) -> Run:
        """Raises BadRequest, InternalError."""
        if self.failure.done():
            raise _failed()
        run = Run(self._library.submit(tokens, fields))
        self._runs.add(run)
        self._wake.set()
        return run

    def cancel(self, run: Run) -> None:
        """The engine drops it in its next step."""
        if run in self._runs:
            self._runs.discard(run)
            run.handle.cancel()
            self._wake.set()

    async def _run(self) -> None:
        try:
            while True:
                if not self._library.busy():
                    self._unwatch()
                    self._wake.clear()
                    await self._wake.wait()
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                self._watch()
                self.steps += self._library.step()
                self._deliver()
        except Exception as error:
            # Whatever it was: without steps every call would wait for ever.
            traceback.print_exc(file=sys.stderr)
            for run in self._runs:
                run.fail(_failed())
            self._runs.clear()
            self.failure.set_exception(EngineError(f"OpenVINO GenAI failed in a step: {said(error)}"))
            raise

    def _deliver(self) -> None:
        for run in list(self._runs):
            try:
                output = self._library.read(run.handle)
            except InternalError as error:
                self._runs.discard(run)
                run.fail(error)
                continue
            if output is not None:
                run.put(output)
                if output.finish is not None:
                    self._runs.discard(run)

    def _watch(self) -> None:
        if (now := time.monotonic()) - self._watched_at > WATCH_AGAIN_S:
            self._watched_at = now
            faulthandler.dump_traceback_later(HUNG_S, exit=True, file=STDERR)

    def _unwatch(self) -> None:
        self._watched_at = 0.0
        faulthandler.cancel_dump_traceback_later()


def _failed() -> InternalError:
    return InternalError(
        "OpenVINO GenAI failed while it worked on this call; the engine starts again", code="engine_failed"
    )

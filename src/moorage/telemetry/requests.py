"""One line per request, written in batches: a line costs the request an append, not a write."""

import asyncio
import sys
import time
from typing import BinaryIO, Literal

import msgspec
from msgspec import Struct, field

from moorage.core.text import harmless
from moorage.wire.launch import STDOUT

FLUSH_S = 0.2
FLUSH_LINES = 256


class RequestLine(Struct, kw_only=True):
    """What became of one call."""

    event: str = "request"
    time: float = field(default_factory=time.time)
    """Unix time at which it ended."""
    id: str
    surface: str
    status: int
    """499 for a client that left."""
    outcome: str
    error: str = ""
    phase: str = ""
    """Where it ended, if not at its end."""
    model: str
    """The model's id, or the beginning of what was asked for where there is none of that name."""
    target: str
    principal: str
    stream: bool
    attempts: int
    elapsed_s: float
    queued_s: float
    first_token_s: float | None
    prompt_tokens: int
    completion_tokens: int
    counted: bool
    """The engine said no usage: tokens are the events relayed."""


class RequestLog:
    """Buffers lines and writes them every 0.2 s, on a full buffer, and at `close`."""

    def __init__(self, style: Literal["json", "console"], path: str | None = None) -> None:
        """Appends to the file `path`, or writes to stderr; STDOUT is standard output."""
        self._encode = msgspec.json.Encoder().encode if style == "json" else console_line
        # Closed by `close`.
        self._file = open(path, "ab", buffering=0) if path and path != STDOUT else None  # noqa: SIM115
        self._output: BinaryIO = self._file or (sys.stdout.buffer if path == STDOUT else sys.stderr.buffer)
        self._lines: list[RequestLine] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(self, line: RequestLine) -> None:
        self._lines.append(line)
        if len(self._lines) >= FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        try:
            self._output.write(b"".join([self._encode(line) + b"\n" for line in lines]))
            self._output.flush()
        except OSError:
            # A full disk or a closed pipe must not stop inference: these lines are lost, the counters are not.
            self._lines.clear()

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()


def console_line(line: RequestLine) -> bytes:
    clock = time.strftime("%H:%M:%S", time.localtime(line.time))
    model = harmless(line.model).replace("\n", " ")
    text = f"{clock} {line.status} {line.surface:<11} {model}  {line.elapsed_s:.2f} s"
    if line.first_token_s is not None:
        text += f" (first token {line.first_token_s:.2f} s)"
    if line.prompt_tokens or line.completion_tokens:
        text += f"  {line.prompt_tokens} → {line.completion_tokens} tokens"
    if line.queued_s >= 0.01:
        text += f"  queued {line.queued_s:.2f} s"
    if line.outcome != "ok":
        text += f"  {line.outcome} {line.error} in {line.phase}".replace("  in", " in")
    return f"{text}  {line.id}".encode()

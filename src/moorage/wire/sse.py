"""Server-sent events as bytes (https://html.spec.whatwg.org/multipage/server-sent-events.html), without I/O.

An event is a block of lines that ends with a blank line. Lines end with LF, CRLF or CR.
"""

import re

from moorage.errors import UpstreamError

DONE = b"data: [DONE]\n\n"
"""How OpenAI's streams say that they are complete."""

EVENT_BYTES_MAX = 16 * 1024 * 1024

# A line's end and the blank line behind it. After LF, a CR counts once the byte behind it is known (it may be half of
# a CRLF). After a lone CR the next CR counts at once, and an LF behind it is dropped.
_BLANK = re.compile(rb"\n\n|\n\r\n|\n\r(?=[^\n])|\r\r")
_BOM = b"\xef\xbb\xbf"


class EventSplitter:
    """Cuts a byte stream into events, wherever the stream's chunks end.

    The events are the same for every chunking, and joined with `rest` they are the stream, except an LF behind an
    event that ended in two CRs. Blank lines between events belong to the event after them.
    """

    def __init__(self, *, limit_bytes: int = EVENT_BYTES_MAX) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._has_cr = False
        self._drop_lf = False

    @property
    def between(self) -> bool:
        """Whether the next byte begins an event."""
        return not self._buffer and not self._drop_lf

    @property
    def rest(self) -> bytes:
        """The event not yet finished; empty between events. At the end of a stream it means the stream was cut."""
        return bytes(self._buffer) if self._buffer.strip(b"\r\n") else b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events `chunk` completes, each with its blank line. Raises UpstreamError for one beyond the limit."""
        if self._drop_lf and chunk:
            self._drop_lf = False
            chunk = chunk.removeprefix(b"\n")
        self._has_cr = self._has_cr or b"\r" in chunk
        if not self._buffer and not self._has_cr:
            # What nearly every chunk is: one whole event.
            end = chunk.find(b"\n\n") + 2
            if 2 < end == len(chunk) <= self._limit_bytes:
                return [chunk]
        return self._split(chunk)

    def _split(self, chunk: bytes) -> list[bytes]:
        searched = max(0, len(self._buffer) - 2)
        self._buffer += chunk
        events: list[bytes] = []
        begin = 0
        while end := self._end(searched):
            self._check(end - begin)
            events.append(bytes(self._buffer[begin:end]))
            if self._buffer.endswith(b"\r\r", begin, end):
                self._drop_lf = end == len(self._buffer)
                if self._buffer.startswith(b"\n", end):
                    del self._buffer[end]
            begin = searched = end
        del self._buffer[:begin]
        self._check(len(self._buffer))
        return events

    def _end(self, start: int) -> int:
        """Where the first event behind `start` ends, 0 for nowhere yet."""
        if self._has_cr:
            match = _BLANK.search(self._buffer, start)
            return match.end() if match else 0
        found = self._buffer.find(b"\n\n", start)
        return found + 2 if found >= 0 else 0

    def _check(self, size: int) -> None:
        if size > self._limit_bytes:
            raise UpstreamError(f"the stream holds an event of more than {self._limit_bytes} bytes")


def data_of(event: bytes) -> bytes | None:
    """The event's data, its lines joined with LF; None for one without data: a comment, a ping, blank lines."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]
    lines: list[bytes] = []
    for line in event.removeprefix(_BOM).splitlines():
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines) if lines else None


def event(data: bytes) -> bytes:
    """An event that carries `data`."""
    if b"\n" not in data and b"\r" not in data:
        return b"data: " + data + b"\n\n"
    return b"".join(b"data: " + line + b"\n" for line in re.split(rb"\r\n|\n|\r", data)) + b"\n"

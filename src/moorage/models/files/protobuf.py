"""Protocol buffers' wire format, skimmed: tags and what is asked for are read, everything else is seeked over.

The format: protobuf.dev/programming-guides/encoding. Nothing is allocated on the word of a length in the file, and the
fields of one file are counted, so that a hostile one costs a bounded time.
"""

from collections.abc import Generator
from typing import IO, Literal

from moorage.models.files.opening import exactly

Kind = Literal["number", "bytes", "fixed"]

_WINDOW_BYTES = 16 * 1024
_MAX_FIELDS = 1 << 21
_FIXED_BYTES = {1: 8, 5: 4}
_BITS = 64


class Malformed(Exception):
    """What is wrong with the file, in words that follow its name."""


class Skimmer:
    """A position in a file of one message, that only goes forward."""

    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self.at = 0
        self.size_bytes = size_bytes
        self._file = file
        self._start = 0
        self._window = b""
        self._fields = 0

    def fields(self, length: int) -> Generator[tuple[int, Kind, int]]:
        """The fields of the message in the next `length` bytes: number, kind, and its value or, of bytes, their length.

        While a field of bytes is current, `read`, `text` or `fields` may be called once with its length; what was not
        read is passed over.
        """
        end = self.at + length
        while self.at < end:
            self._fields += 1
            if self._fields > _MAX_FIELDS:
                raise Malformed("is broken: it has more parts than any model")
            tag = self._varint()
            number, wire_type = tag >> 3, tag & 7
            if number == 0:
                raise Malformed(f"is broken: at byte {self.at} is no field of a protocol buffer")
            if wire_type == 0:
                yield number, "number", self._varint()
            elif wire_type == 2:
                size = self._varint()
                stop = self.at + size
                if stop > end:
                    raise Malformed(f"is truncated or broken: a part of it ends at byte {stop}, {self._edge(end)}")
                yield number, "bytes", size
                self.at = stop
            elif wire_type in _FIXED_BYTES:
                self.at += _FIXED_BYTES[wire_type]
                yield number, "fixed", 0
            else:
                raise Malformed(f"is broken: at byte {self.at} is no field of a protocol buffer")
        if self.at != end:
            raise Malformed(f"is truncated or broken: a part of it ends at byte {self.at}, {self._edge(end)}")

    def read(self, length: int) -> bytes:
        """The next bytes; the caller bounds how many."""
        first = self.at - self._start
        if first + length > len(self._window):
            self._refill(max(length, _WINDOW_BYTES))
            first = 0
        self.at += length
        found = self._window[first : first + length]
        if len(found) < length:
            raise Malformed("is truncated")
        return found

    def text(self, length: int, most: int) -> str:
        """A text; one longer than `most` bytes is an error."""
        if length > most:
            raise Malformed(f"is broken: it has a name of {length} bytes")
        return self.read(length).decode("utf-8", errors="replace")

    def packed(self, length: int, most: int) -> list[int]:
        """A list of at most `most` varints."""
        end = self.at + length
        found: list[int] = []
        while self.at < end:
            if len(found) >= most:
                raise Malformed(f"is broken: it has a shape of more than {most} dimensions")
            found.append(self._varint())
        return found

    def _varint(self) -> int:
        value = shift = 0
        while shift < _BITS:
            index = self.at - self._start
            if index >= len(self._window):
                self._refill(_WINDOW_BYTES)
                index = 0
                if not self._window:
                    raise Malformed("is truncated")
            byte = self._window[index]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & ((1 << _BITS) - 1)
            shift += 7
        raise Malformed(f"is broken: at byte {self.at} is no number of a protocol buffer")

    def _refill(self, length: int) -> None:
        length = max(0, min(length, self.size_bytes - self.at))
        self._file.seek(self.at)
        self._start, self._window = self.at, exactly(self._file, length)

    def _edge(self, end: int) -> str:
        return f"the file at {self.size_bytes}" if end >= self.size_bytes else f"what holds it at {end}"


def signed(value: int) -> int:
    """An int64 from its varint."""
    return value - (1 << _BITS) if value >> (_BITS - 1) else value

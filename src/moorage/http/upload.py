"""A request's body that is sent as it is read, and never held as a whole."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Upload:
    """Type and length are known before the first byte is read."""

    content_type: str
    length_bytes: int
    pieces: Callable[[], AsyncIterator[bytes]]
    """Begins to read from the start. Together the pieces are exactly `length_bytes` long."""

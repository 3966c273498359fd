"""Writing protobuf messages: the wire format only (protobuf.dev, "Encoding"), no schemas.

A message is the concatenation of its fields, in any order; each function returns one field's bytes.
"""

import struct

_VARINT, _LENGTH, _FIXED32 = 0, 2, 5


def varint(value: int) -> bytes:
    """Base 128, lowest group first; a negative number as its 64-bit two's complement."""
    value &= (1 << 64) - 1
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def number(field: int, value: int) -> bytes:
    """int32, int64, bool or enum."""
    return varint(field << 3 | _VARINT) + varint(value)


def real(field: int, value: float) -> bytes:
    """float, 32 bits."""
    return varint(field << 3 | _FIXED32) + struct.pack("<f", value)


def data(field: int, value: bytes) -> bytes:
    """bytes, or a message within the message."""
    return varint(field << 3 | _LENGTH) + varint(len(value)) + value


def text(field: int, value: str) -> bytes:
    return data(field, value.encode())

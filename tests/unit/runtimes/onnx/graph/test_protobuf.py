"""The wire format, byte for byte as its specification shows it."""

import pytest

from moorage.runtimes.onnx.graph import protobuf


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, b"\x00"),
        (1, b"\x01"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (150, b"\x96\x01"),
        (1 << 63, b"\x80" * 9 + b"\x01"),
        (-2, b"\xfe" + b"\xff" * 8 + b"\x01"),
    ],
)
def test_varints(value: int, encoded: bytes) -> None:
    assert protobuf.varint(value) == encoded


def test_fields() -> None:
    assert protobuf.number(1, 150) == b"\x08\x96\x01"
    assert protobuf.number(20, 7) == b"\xa0\x01\x07"
    assert protobuf.text(2, "testing") == b"\x12\x07testing"
    assert protobuf.text(2, "é") == b"\x12\x02\xc3\xa9"
    assert protobuf.data(3, protobuf.number(1, 150)) == b"\x1a\x03\x08\x96\x01"
    assert protobuf.data(4, b"x" * 200)[:3] == b"\x22\xc8\x01"
    assert protobuf.real(2, 1.0) == b"\x15\x00\x00\x80\x3f"

import pytest

from moorage.errors import BadRequest, UpstreamError
from moorage.gateway.refusal import message_of, refusal


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"error":{"message":"too long","param":"prompt","code":"context_length_exceeded"}}', "too long"),
        (b'{"error":"too long"}', "too long"),
        (b'{"detail":"too long"}', "too long"),
        (b'{"message":"too long"}', "too long"),
        (b'{"error":{"message":"\xff\xfe"}}', ""),
        (b"<html>", ""),
        (b"", ""),
        (b"\xff", ""),
    ],
)
def test_what_an_engines_error_says(content: bytes, words: str) -> None:
    assert message_of(content) == words


def test_bytes_that_are_no_text_leave_the_status() -> None:
    assert isinstance(refusal(400, b'{"error":{"message":"\xff"}}', None), BadRequest)
    assert refusal(500, b'{"error":{"message":"\xff"}}', None).message == "the engine answered 500"
    assert isinstance(refusal(500, b'{"error":{"message":"\xff"}}', None), UpstreamError)

import pytest

from moorage.http.refusal import said


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":{"message":"too long"}}', "too long"),
        (b'{"error":"no"}', "no"),
        (b"<html>bad gateway", "<html>bad gateway"),
        (b"", ""),
        (b"[1]", "[1]"),
        (b'{"error":{}}', '{"error":{}}'),
        (b"\xff", "\ufffd"),
    ],
)
def test_what_an_error_says(body: bytes, words: str) -> None:
    assert said(body) == words

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


@pytest.mark.parametrize(
    "words",
    [
        "request (6031 tokens) exceeds the available context size (2048 tokens), try increasing it",
        "This model's maximum context length is 2048 tokens. However, you requested 6031 tokens",
        "The input (6031 tokens) is longer than the model's context length (2048 tokens).",
    ],
)
def test_a_prompt_that_is_too_long_has_openais_code_whoever_says_it(words: str) -> None:
    error = refusal(400, b'{"error":{"code":400,"message":"%b"}}' % words.encode(), None)
    assert isinstance(error, BadRequest)
    assert (error.error_code, error.message) == ("context_length_exceeded", words)


def test_an_image_for_a_model_of_text_is_the_callers_mistake() -> None:
    said = b'{"error":{"code":500,"message":"image input is not supported - hint: ...","type":"server_error"}}'
    assert isinstance(refusal(500, said, None), BadRequest)


@pytest.mark.parametrize("status", [400, 404, 413, 429, 500])
def test_the_token_that_an_engine_repeats_is_no_clients_to_read(status: int) -> None:
    content = b'{"error":{"message":"who is Bearer s3cret?","param":"s3cret"}}'
    error = refusal(status, content, None, secret="s3cret")
    assert error.message == "who is Bearer ***?"
    assert "s3cret" not in repr(vars(error))

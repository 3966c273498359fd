import pytest

from moorage.errors import BadRequest
from moorage.wire.api.chat import ChatRequest
from moorage.wire.api.completions import CompletionRequest
from moorage.wire.api.decoding import decode
from moorage.wire.api.embeddings import EmbeddingRequest


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b'{"messages": [], "n": "x"}', "messages", "messages must not be empty"),
        (b'{"messages": [{"role": 3}]}', "messages[0].role", "a string, got an integer"),
        (b'{"messages": "x"}', "messages", "an array, got a string"),
        (b'{"messages": [{"role": "user", "content": 5}]}', "messages[0].content", "a string or an array or null"),
        (b"{}", "messages", "messages is required"),
        (b'{"messages": [{}]}', "messages[0].role", "is required"),
        (b'{"messages": [{"role": "alien"}]}', "messages[0].role", "'alien' is none of 'system', 'developer', 'user'"),
        (b'{"messages": [{"role": "user"}], "tool_choice": "x"}', "tool_choice", "'none', 'auto', 'required'"),
        (b'{"messages": [{"role": "user"}], "tool_choice": {}}', "tool_choice.type", "is required"),
        (
            b'{"messages": [{"role": "user"}], "response_format": {"type": "xml"}}',
            "response_format.type",
            "'xml' is none of 'text', 'json_object', 'json_schema'",
        ),
        (
            b'{"messages": [{"role": "user"}], "response_format": {"type": "json_schema"}}',
            "response_format.json_schema",
            "response_format.json_schema is required",
        ),
        (b'{"messages": [{"role": "user"}], "modalities": ["video"]}', "modalities[0]", "'video' is none of 'text'"),
        (b'{"messages": [{"role": " - at `$.x`"}]}', "messages[0].role", "' - at `$.x`' is none of"),
        (b"[]", None, "the body: expected an object, got an array"),
        (b"{", None, "not valid JSON"),
    ],
)
def test_messages_name_the_field_and_what_it_may_be(body: bytes, param: str | None, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(ChatRequest, body)
    assert caught.value.param == param
    assert words in caught.value.message


def test_a_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(BadRequest) as caught:
        decode(ChatRequest, b'{"messages": [{"role": "%b"}]}' % (b"x" * 100_000))
    assert len(caught.value.message) < 300


def test_unknown_fields_and_nulls_are_let_through() -> None:
    request = decode(ChatRequest, b'{"messages": [{"role": "user", "x": 1}], "id_slot": {}, "n": null, "stop": null}')
    assert request.n is None


def test_prompts_and_inputs_take_many_forms() -> None:
    for value in (b'"x"', b'["x"]', b"[1, 2]", b"[[1], [2]]"):
        assert decode(CompletionRequest, b'{"prompt": ' + value + b"}")
        assert decode(EmbeddingRequest, b'{"input": ' + value + b"}")

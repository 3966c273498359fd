import json

import msgspec
import pytest

from moorage.dialects import llamacpp_tokens as dialect


def test_messages_are_written_by_the_template_first() -> None:
    call = dialect.asked(b'{"messages":[{"role":"user","content":"hi"}],"tools":[],"add_generation_prompt":false}')
    assert dialect.given(call.messages)
    assert json.loads(dialect.to_template(call)) == {
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [],
        "add_generation_prompt": False,
    }
    assert dialect.from_template(b'{"prompt":"<|user|>hi"}') == "<|user|>hi"


@pytest.mark.parametrize(("said", "special"), [(b"{}", True), (b'{"add_special_tokens":false}', False)])
def test_counting(said: bytes, special: bool) -> None:
    call = dialect.asked(said)
    assert not dialect.given(call.messages)
    assert json.loads(dialect.to_tokenize(call, "hello")) == {
        "content": "hello", "add_special": special, "parse_special": True, "with_pieces": True,
    }  # fmt: skip
    reply = b'{"tokens":[{"id":7,"piece":"hel"},{"id":9,"piece":[195]}]}'
    assert json.loads(dialect.from_tokenize(call, reply, 64)) == {
        "count": 2, "max_model_len": 64, "tokens": [7, 9], "token_strs": None,
    }  # fmt: skip


def test_pieces_that_are_no_characters() -> None:
    call = dialect.asked(b'{"return_token_strs":true}')
    reply = b'{"tokens":[{"id":7,"piece":"hel"},{"id":9,"piece":[195]}]}'
    assert json.loads(dialect.from_tokenize(call, reply, 64))["token_strs"] == ["hel", "\ufffd"]


def test_text_of_tokens() -> None:
    assert dialect.from_detokenize(b'{"content":"hello"}') == b'{"prompt":"hello"}'


@pytest.mark.parametrize("reply", [b"", b"[]", b'{"tokens":[7]}', b'{"error":{}}'])
def test_replies_of_another_shape(reply: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        dialect.from_tokenize(dialect.Asked(), reply, 64)

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.errors import BadRequest
from moorage.wire import body

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_joining_gives_the_same_object(document: dict[str, object]) -> None:
    raw = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        with pytest.raises(BadRequest):
            body.parse(raw)
        return
    assert json.loads(body.join(body.parse(raw))) == document


def test_values_keep_their_bytes_and_edits_replace_only_their_span() -> None:
    fields = body.parse(b'{ "model":"a", "temperature": 1.50e0, "messages" : [ {"role": "user"} ] }')
    fields["model"] = body.value("b")
    assert body.join(fields) == b'{"model":"b","temperature":1.50e0,"messages":[ {"role": "user"} ]}'


def test_a_field_given_twice_reaches_the_engine_once() -> None:
    assert body.join(body.parse(b'{"model":"cheap","model":"dear"}')) == b'{"model":"dear"}'


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", "not valid JSON"),
        (b'{"a":1,}', "not valid JSON"),
        (b'{"a":nan}', "not valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b'{"a":"\xff"}', "byte 6 is 0xff"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)
def test_bad_bodies_say_what_is_wrong(raw: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        body.parse(raw)


def test_read_names_the_field() -> None:
    fields = body.parse(b'{"stream":"yes","n":null}')
    assert body.read(fields, "n", int, 1) == 1
    assert body.read(fields, "absent", str, "x") == "x"
    with pytest.raises(BadRequest, match="'stream' is wrong: Expected bool, got str") as caught:
        body.read(fields, "stream", bool, False)
    assert caught.value.param == "stream"


def test_what_can_just_be_parsed_may_be_too_deep_to_read() -> None:
    """How deep is too deep depends on how deep the caller is: the way of a request goes on after its parsing."""

    def edit(frames: int, fields: body.Fields) -> Any:
        if frames:
            return edit(frames - 1, fields)
        return body.value(body.read(fields, "options", dict[str, object], {}))

    for depth in range(800, 1100):
        raw = b'{"options":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
        with contextlib.suppress(BadRequest):  # and never a RecursionError
            fields = body.parse(raw)
            for frames in (0, 2, 5, 20):
                assert edit(frames, fields)

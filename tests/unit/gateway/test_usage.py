import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.errors import UpstreamError
from moorage.gateway.usage import usage_of
from moorage.wire import body


@pytest.mark.parametrize(
    ("reply", "read", "written"),
    [
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}', 3, 4),
        (b'{"usage":{"prompt_tokens":3,"total_tokens":3}}', 3, 0),
        (b'{"usage":{"total_tokens":5}}', 5, 0),
        (b'{"usage":{"type":"tokens","input_tokens":6,"output_tokens":2,"total_tokens":8}}', 6, 2),
        (b'{"usage":{"type":"duration","seconds":4.5}}', 0, 0),
        (b'{"meta":{"billed_units":{"input_tokens":9}}}', 9, 0),
        (b'{"meta":{"billed_units":{"search_units":1},"tokens":{"input_tokens":8,"output_tokens":1}}}', 8, 1),
        (b'{"usage":{"prompt_tokens":3},"meta":{"billed_units":{"input_tokens":9}}}', 3, 0),
    ],
)
def test_every_spelling_is_read(reply: bytes, read: int, written: int) -> None:
    usage = usage_of(body.parse(reply))
    assert usage is not None
    assert (usage.read_tokens, usage.written_tokens) == (read, written)


@pytest.mark.parametrize("reply", [b"{}", b'{"usage":null}', b'{"meta":null}', b'{"meta":{"billed_units":{}}}'])
def test_what_is_not_said_is_unknown(reply: bytes) -> None:
    assert usage_of(body.parse(reply)) is None


@given(st.sampled_from(["usage", "meta"]), st.text(max_size=20))
def test_nonsense_is_the_engines_fault(name: str, said: str) -> None:
    with pytest.raises(UpstreamError, match="usage block is malformed"):
        usage_of({name: body.value([said])})

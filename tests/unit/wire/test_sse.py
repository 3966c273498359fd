import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.errors import UpstreamError
from moorage.wire.sse import DONE, EventSplitter, data_of, event

STREAM_PIECES = st.lists(
    st.sampled_from(
        [
            b"data: {}",
            b"data:x",
            b": ping",
            b"event: a",
            b"\n",
            b"\r\n",
            b"\r",
            b"\n\n",
            b"\r\n\r\n",
            b"\r\r",
            "é🚢".encode(),
        ]
    ),
    max_size=30,
)


def split(stream: bytes, cuts: list[int]) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    events: list[bytes] = []
    begin = 0
    for end in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
        events += splitter.feed(stream[begin:end])
        begin = end
    return events, splitter.rest


@given(STREAM_PIECES, st.lists(st.integers(0, 10_000), max_size=20))
def test_any_chunking_gives_the_same_events(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    assert split(stream, cuts) == split(stream, [])
    assert split(stream, list(range(len(stream)))) == split(stream, [])


@given(st.lists(st.text(), max_size=10), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(0, 10_000)))
def test_what_is_written_is_read(texts: list[str], line_end: bytes, cuts: list[int]) -> None:
    stream = b"".join(event(json.dumps(text).encode()) for text in texts).replace(b"\n", line_end)
    stream += b": the end" + line_end  # the byte that tells a CR from half a CRLF
    events, _ = split(stream, cuts)
    assert [json.loads(data_of(one) or b"") for one in events] == texts


@given(st.binary())
def test_data_of_any_bytes_written_is_those_bytes(data: bytes) -> None:
    written = event(data)
    assert EventSplitter().feed(written) == [written]
    assert data_of(written) == re.sub(rb"\r\n|\r", b"\n", data)


def test_a_chunk_that_is_one_event_is_passed_as_it_is() -> None:
    chunk = b'data: {"a":1}\n\n'
    assert EventSplitter().feed(chunk)[0] is chunk


def test_an_event_cut_off_is_the_rest() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\n\ndata: 2\n") == [b"data: 1\n\n"]
    assert splitter.rest == b"data: 2\n"
    assert splitter.feed(b"\n") == [b"data: 2\n\n"]
    assert splitter.rest == b""
    assert splitter.feed(b"\n") == []
    assert splitter.rest == b"", "blank lines between events are nothing unfinished"


def test_crlf_cut_between_cr_and_lf_is_one_event() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\r\n\r") == []
    assert splitter.feed(b"\ndata: 2\r\n\r\n") == [b"data: 1\r\n\r\n", b"data: 2\r\n\r\n"]


def test_cr_only_events_are_not_held_back() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\r\r") == [b"data: 1\r\r"]
    assert splitter.feed(b"data: 2\r\r") == [b"data: 2\r\r"]


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_an_endless_event_is_refused(size: int) -> None:
    splitter = EventSplitter(limit_bytes=100)
    with pytest.raises(UpstreamError, match="more than 100 bytes"):
        list(map(splitter.feed, [b"x" * size] * 200))


def test_a_finished_event_beyond_the_limit_is_refused() -> None:
    with pytest.raises(UpstreamError, match="more than 100 bytes"):
        EventSplitter(limit_bytes=100).feed(event(b"x" * 200))


@pytest.mark.parametrize(
    ("one", "data"),
    [
        (b"data: a\n\n", b"a"),
        (b"data:a\n\n", b"a"),
        (b"data:  a\n\n", b" a"),
        (b"data: a\r\n\r\n", b"a"),
        (b"data: a\r\r", b"a"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"id: 1\nevent: x\ndata: a\nretry: 5\n\n", b"a"),
        (b"\xef\xbb\xbfdata: a\n\n", b"a"),
        (b"data\n\n", b""),
        (b"data:\n\n", b""),
        (b": ping\n\n", None),
        (b"event: ping\n\n", None),
        (b"database: a\n\n", None),
        (b"\n\n", None),
        (DONE, b"[DONE]"),
    ],
)
def test_data_of(one: bytes, data: bytes | None) -> None:
    assert data_of(one) == data

import pytest

from moorage.runtimes.openvino.cutting import TOKENS_MAX, in_parts
from moorage.runtimes.openvino.vocabulary import Vocabulary, plain
from moorage.runtimes.openvino.writer import Writer

PIECES = [b"<|im_end|>", b"Hel", b"lo", b" w", b"\xc3", b"\xb6", b"rld", b"!", b"\xf0\x9f", b"\x8e\x88", b"END"]
WORDS = Vocabulary(dict(enumerate(PIECES)), [0], len(PIECES))


def written(*tokens: int, stops: tuple[str, ...] = (), logprobs: bool = False) -> tuple[list[str], bool]:
    """The texts of each step, one token each, and of the end; and whether a stop text was found."""
    writer = Writer(WORDS, stops, logprobs=logprobs)
    texts: list[str] = []
    for token in tokens:
        found = writer.feed([token], [-0.5])
        texts.append(found.text)
        if found.stopped:
            return texts, True
    last = writer.end()
    return [*texts, last.text], last.stopped


def test_characters_come_whole() -> None:
    assert written(1, 2, 3, 4, 5, 6) == (["Hel", "lo", " w", "", "ö", "rld", ""], False)
    assert written(8, 9, 7) == (["", "🎈", "!", ""], False)


def test_a_character_that_is_never_finished_is_said_to_be_none() -> None:
    assert written(1, 8) == (["Hel", "", "\ufffd"], False)
    assert written(9, 1)[0][:2] == ["\ufffd\ufffd", "Hel"]


def test_special_tokens_are_not_shown() -> None:
    assert written(1, 0, 2) == (["Hel", "", "lo", ""], False)
    assert WORDS.text([1, 0]) == "Hel<|im_end|>"
    assert WORDS.ends() == {0}


@pytest.mark.parametrize(
    ("stops", "text"),
    [
        (("lo w",), "Hel"),
        (("w",), "Hello "),
        (("ör",), "Hello w"),
        (("never", "ld!"), "Hello wör"),
        (("Hello",), ""),
        (("rld!", "l"), "He"),
    ],
)
def test_a_stop_text_ends_the_reply_wherever_tokens_end(stops: tuple[str, ...], text: str) -> None:
    texts, stopped = written(1, 2, 3, 4, 5, 6, 7, stops=stops)
    assert ("".join(texts), stopped) == (text, True)


def test_what_only_looks_like_a_stop_text_is_held_and_given() -> None:
    texts, stopped = written(1, 2, 3, 6, stops=("lo west",))
    assert texts[:3] == ["He", "l", ""]
    assert ("".join(texts), stopped) == ("Hello wrld", False)


def test_logprobs_come_with_their_text() -> None:
    writer = Writer(WORDS, ["ö!"], logprobs=True)
    found = writer.feed([1, 2], [-0.5, 0.001])
    assert [(entry["token"], entry["logprob"], bytes(entry["bytes"])) for entry in found.logprobs] == [
        ("Hel", -0.5, b"Hel"),
        ("lo", 0.0, b"lo"),
    ]
    assert writer.feed([4], [-1.0]).logprobs[0]["bytes"] == [0xC3]
    assert writer.feed([5], [-1.0]).logprobs == ()
    assert [entry["bytes"] for entry in writer.feed([6], [-1.0]).logprobs] == [[0xB6], [*b"rld"]]


def test_tokens_of_a_stop_text_have_no_logprobs() -> None:
    writer = Writer(WORDS, ["END"], logprobs=True)
    found = writer.feed([1, 10], [-0.5, -0.5])
    assert (found.text, found.stopped, len(found.logprobs)) == ("Hel", True, 1)


def test_sentencepiece_writes_spaces_and_bytes_its_own_way() -> None:
    vocabulary = {b"<0x00>": 0, b"<0xFF>": 1, b"<0x0A>": 2, "▁the".encode(): 3, b"a": 4}
    assert plain(vocabulary) == {0: b"\x00", 1: b"\xff", 2: b"\n", 3: b" the", 4: b"a"}
    assert plain({"▁".encode(): 0}) == {0: "▁".encode()}


def test_a_text_far_too_long_is_known_without_counting() -> None:
    assert WORDS.least_tokens("x" * 1000) == 100


def test_long_texts_are_read_in_parts_at_the_ends_of_words() -> None:
    asked: list[str] = []

    def encode(text: str) -> list[int]:
        asked.append(text)
        return list(range(len(text.split())))[-TOKENS_MAX:]

    text = "word " * 20_000
    assert len(in_parts(text, encode)) == 20_000
    assert len(in_parts("short text", encode)) == 2
    assert all(not part.startswith("ord") for part in asked)

import json
import os
from pathlib import Path
from typing import Any

import pytest

from moorage.errors import BadRequest, EngineError, InternalError
from moorage.runtimes.encoding.graphs.tokenizer import Tokenizer
from moorage.runtimes.encoding.port import Cut, Item, Pair, Text

VOCABULARY = {"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, **{f"w{number}": number for number in range(3, 40)}}


def special(name: str, kind: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": kind}}


def sequence(name: str, kind: int) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": kind}}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words as tokens, [CLS] … [SEP] … [SEP], with a truncation and a padding that must not be used."""
    ids = {name: {"id": name, "ids": [VOCABULARY[name]], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    single = [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)]
    content: dict[str, Any] = {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 2, "pad_type_id": 0,
            "pad_token": "[UNK]",
        },
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing", "single": single, "special_tokens": ids,
            "pair": [*single, sequence("B", 1), special("[SEP]", 1)],
        },
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": VOCABULARY, "unk_token": "[UNK]"},
    }  # fmt: skip
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def tokenizer(file: Path) -> Tokenizer:
    return Tokenizer(file)


def words(*numbers: int) -> str:
    return " ".join(f"w{number}" for number in numbers)


def one(tokenizer: Tokenizer, text: Text | Pair, cut: Cut | None = None) -> Item:
    (item,) = tokenizer.items([text], special=True, cut=cut)
    return item


def test_texts_are_whole_between_the_models_own_tokens(tokenizer: Tokenizer) -> None:
    assert (tokenizer.specials, tokenizer.pair_specials, tokenizer.size) == (2, 3, 40)
    assert list(one(tokenizer, words(*range(3, 13))).ids) == [0, *range(3, 13), 1]
    pair = one(tokenizer, Pair(words(3, 4), words(5)))
    assert (list(pair.ids), list(pair.types)) == ([0, 3, 4, 1, 5, 1], [0, 0, 0, 0, 1, 1])
    (bare,) = tokenizer.items([words(3)], special=False, cut=None)
    assert list(bare.ids) == [3]


def test_a_clients_tokens_stay_as_they_are(tokenizer: Tokenizer) -> None:
    found = tokenizer.items([[5, 6, 7], words(3), [8]], special=True, cut=Cut(2, "left"))
    assert [list(item.ids) for item in found] == [[6, 7], [0, 1], [8]]


@pytest.mark.parametrize(
    ("cut", "ids"),
    [
        (Cut(5), [0, 3, 4, 5, 1]),
        (Cut(5, "left"), [0, 7, 8, 9, 1]),
        (Cut(9), [0, 3, 4, 5, 6, 7, 8, 9, 1]),
        (Cut(3), [0, 3, 1]),
    ],
)
def test_a_cut_text_keeps_the_models_own_tokens(tokenizer: Tokenizer, cut: Cut, ids: list[int]) -> None:
    assert list(one(tokenizer, words(*range(3, 10)), cut).ids) == ids


@pytest.mark.parametrize(
    ("first", "second", "cut", "ids"),
    [
        # The longer gives way first, then both.
        (2, 6, Cut(8), [0, 3, 4, 1, 10, 11, 12, 1]),
        (6, 2, Cut(8), [0, 3, 4, 5, 1, 10, 11, 1]),
        (6, 6, Cut(8), [0, 3, 4, 1, 10, 11, 12, 1]),
        (6, 6, Cut(8, "left"), [0, 7, 8, 1, 13, 14, 15, 1]),
        (2, 2, Cut(8), [0, 3, 4, 1, 10, 11, 1]),
        # The second alone, to its own bound and to what the first leaves.
        (2, 6, Cut(20, second=3), [0, 3, 4, 1, 10, 11, 12, 1]),
        (2, 6, Cut(7, second=5), [0, 3, 4, 1, 10, 11, 1]),
        (6, 6, Cut(8, second=4), [0, 3, 4, 5, 6, 7, 8, 1, 1]),
    ],
)
def test_a_cut_pair(tokenizer: Tokenizer, first: int, second: int, cut: Cut, ids: list[int]) -> None:
    pair = Pair(words(*range(3, 3 + first)), words(*range(10, 10 + second)))
    found = one(tokenizer, pair, cut)
    assert list(found.ids) == ids
    end = ids.index(1) + 1
    assert list(found.types) == [0] * end + [1] * (len(ids) - end)


def test_text_and_pieces(tokenizer: Tokenizer) -> None:
    assert tokenizer.text([0, 5, 1]) == "[CLS] w5 [SEP]"
    assert tokenizer.pieces([0, 5, 1]) == ["[CLS]", "w5", "[SEP]"]
    assert tokenizer.pieces([99]) == [""]


def test_half_a_surrogate_pair_is_refused(tokenizer: Tokenizer) -> None:
    for text in ("\ud800", Pair("a", "\udfff")):
        with pytest.raises(BadRequest, match="surrogate"):
            tokenizer.items(["fine", text], special=True, cut=None)


def test_small_letters_where_the_model_wants_them(file: Path) -> None:
    assert list(one(Tokenizer(file, lower=True), "W5 W6").ids) == [0, 5, 6, 1]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version": "1.0", "model": {"type": "Alien"}}', b"\xff\xfe"])
def test_files_that_are_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(EngineError, match="is no tokenizer that can be read"):
        Tokenizer(path)
    with pytest.raises(EngineError):
        Tokenizer(tmp_path / "none")


def test_files_that_would_never_end(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    os.mkfifo(path)
    with pytest.raises(EngineError, match="not a regular file"):
        Tokenizer(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(EngineError, match="not a regular file"):
        Tokenizer(path)


def test_a_tokenizer_that_fails_at_a_text(tmp_path: Path) -> None:
    """It names a token for unknown words that it does not have."""
    path = tmp_path / "tokenizer.json"
    path.write_text(
        json.dumps({"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}})
    )
    tokenizer = Tokenizer(path)
    assert list(one(tokenizer, "a").ids) == [0]
    with pytest.raises(InternalError, match=r"get its tokenizer\.json again"):
        one(tokenizer, "b")

"""Tokenizers that are IRs themselves give what the tokenizer.json gives that they were made from.

tests/data/openvino_tokenizer/generate.py made both.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from moorage.errors import BadRequest, EngineError
from moorage.runtimes.encoding.graphs.tokenizer import Tokenizer
from moorage.runtimes.encoding.graphs.vocabulary import Vocabulary
from moorage.runtimes.encoding.port import Cut, Item, Pair, Text
from moorage.runtimes.openvino_encoder.tokenizer import IrTokenizer
from tests import openvino_ir
from tests.integration.runtimes.encoder.client import RERANK, TOKENIZE, embeddings, good
from tests.integration.runtimes.runtime import Runtime

pytestmark = pytest.mark.engine

MADE = Path(__file__).parents[3] / "data" / "openvino_tokenizer"
TEXTS: list[Text] = [
    "the boat in the harbour",
    "",
    "a",
    "The SHIPS, 3 of them!",
    "naïve 日本語 🚢",
    "boat " * 400,
    "[SEP] in a text",
    " ",
]
CUTS = [None, Cut(2), Cut(3), Cut(7), Cut(7, "left"), Cut(300)]


@pytest.fixture(scope="module")
def reference() -> Vocabulary:
    return Tokenizer(MADE / "tokenizer.json")


@pytest.fixture(scope="module")
def single() -> Vocabulary:
    return IrTokenizer(MADE / "single", pairs=False)


@pytest.fixture(scope="module")
def paired() -> Vocabulary:
    return IrTokenizer(MADE / "pairs", pairs=True)


def told(items: list[Item]) -> list[tuple[list[int], list[int]]]:
    return [(list(item.ids), list(item.types)) for item in items]


@pytest.mark.parametrize(("special", "cut"), [(False, None), *((True, cut) for cut in CUTS)])
def test_texts(single: Vocabulary, reference: Vocabulary, cut: Cut | None, special: bool) -> None:
    found = single.items(TEXTS, special=special, cut=cut)
    assert told(found) == told(reference.items(TEXTS, special=special, cut=cut))


@pytest.mark.parametrize("cut", [*CUTS[2:], None, Cut(9, second=2), Cut(100, second=3)])
def test_pairs(paired: Vocabulary, reference: Vocabulary, cut: Cut | None) -> None:
    given: list[Text | Pair] = [
        Pair("the boat", "a ship in the harbour"),
        "alone among pairs",
        Pair("a boat in the harbour of ships", "a"),
        Pair("", "the end"),
        [5, 6, 7, 8, 9, 10, 11, 12],
    ]
    assert told(paired.items(given, special=True, cut=cut)) == told(reference.items(given, special=True, cut=cut))


def test_what_it_knows_of_itself(single: Vocabulary, paired: Vocabulary, reference: Vocabulary) -> None:
    assert (single.specials, single.size) == (reference.specials, reference.size)
    assert (paired.specials, paired.pair_specials) == (reference.specials, reference.pair_specials)
    (item,) = single.items(["the ships"], special=True, cut=None)
    assert reference.pieces(item.ids) == ["[CLS]", "the", "ship", "##s", "[SEP]"]
    # Its vocabulary is that of the way back to text.
    assert single.pieces(item.ids) == [" [CLS]", " the", " ship", "s", " [SEP]"]
    assert single.text(item.ids) == "[CLS] the ships [SEP]"
    assert single.items([], special=True, cut=None) == []


def test_half_a_surrogate_pair_is_no_text(single: Vocabulary) -> None:
    with pytest.raises(BadRequest, match="surrogate"):
        single.items(["fine", "\ud83d"], special=True, cut=None)


def test_small_letters(reference: Vocabulary) -> None:
    lowered = IrTokenizer(MADE / "single", pairs=False, lower=True)
    assert told(lowered.items(["The BOAT"], special=True, cut=None)) == told(
        reference.items(["the boat"], special=True, cut=None)
    )


def test_one_for_single_texts_reads_no_pairs() -> None:
    with pytest.raises(EngineError, match="reads single texts"):
        IrTokenizer(MADE / "single", pairs=True)


@pytest.mark.parametrize("name", ["openvino_tokenizer.xml", "openvino_tokenizer.bin"])
@pytest.mark.parametrize("content", [b"", b"half"])
def test_damaged(tmp_path: Path, name: str, content: bytes) -> None:
    folder = Path(shutil.copytree(MADE / "single", tmp_path / "m"))
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2] if content else b"")
    with pytest.raises(EngineError, match="no tokenizer that can be read"):
        IrTokenizer(folder, pairs=False)


def exported(model: Path, folder: Path, kind: str) -> Path:
    """A folder as an exporter leaves it that has no tokenizer.json."""
    openvino_ir.write(model, folder, half=True)
    (folder / "tokenizer.json").unlink()
    for path in (MADE / kind).iterdir():
        shutil.copyfile(path, folder / path.name)
    return folder


def test_a_folder_without_a_tokenizer_json(
    minilm: Path, cross_folder: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]
) -> None:
    folder = exported(minilm, tmp_path / "ir", "single")
    there = openvino_ir.write(minilm, tmp_path / "json", half=True)
    shutil.copyfile(MADE / "tokenizer.json", there / "tokenizer.json")
    texts = ["the boat in the harbour", "ships " * 20]
    one, other = (make_encoder(which, "openvino_encoder").start().ready() for which in (folder, there))
    assert np.abs(embeddings(one, texts) - embeddings(other, texts)).max() < 1e-6
    assert good(one.post(TOKENIZE, {"prompt": "the ship"}))["count"] == 4
    ranks = make_encoder(exported(cross_folder, tmp_path / "cross", "pairs"), "openvino_encoder", task="rerank")
    assert len(good(ranks.start().ready().post(RERANK, {"query": "a", "documents": ["b", "c d"]}))["results"]) == 2

"""Graphs that are no encoder's are refused by what goes in and comes out; texts are laid out as a graph takes them."""

import numpy as np
import pytest

from moorage.errors import EngineError
from moorage.runtimes.encoding.graphs.ports import Port, feeds_of, kinds_of, outputs_of
from moorage.runtimes.encoding.port import Item

IDS = Port("input_ids", "i64", np.int64, (None, None))
MASK = Port("attention_mask", "i64", np.int64, (None, None))
STATES = Port("last_hidden_state", "f32", None, (None, None, 8))


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (Port("pixel_values", "f32", None, (None, 3)), "'pixel_values' of f32"),
        (Port("past", "i64", np.int64, (None, None)), "encoders of texts have input_ids"),
        (Port("token_type_ids", "f32", None, (None, None)), "'token_type_ids' of f32"),
        (Port("token_type_ids", "i64", np.int64, (1, None)), r"only in the shape \[1, any\]"),
    ],
)
def test_inputs_that_are_no_encoders(port: Port, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        kinds_of([IDS, port], "'g'")


def test_a_graph_without_tokens() -> None:
    with pytest.raises(EngineError, match="no input 'input_ids'"):
        kinds_of([MASK], "'g'")


def test_outputs_by_their_names() -> None:
    found = outputs_of([STATES, Port("logits", "f32", None, (None, 3))], "'g'")
    assert (found.states, found.sentence, found.logits, found.logits_rank) == ("last_hidden_state", None, "logits", 2)
    with pytest.raises(EngineError, match="'g' gives pooled; an encoder gives one of"):
        outputs_of([Port("pooled", "f32", None, (None, 8))], "'g'")


def test_texts_are_padded_at_their_end() -> None:
    kinds = kinds_of([IDS, Port("attention_mask", "i32", np.int32, (None, None)), *_others()], "'g'")
    feeds, mask = feeds_of([Item([5, 6, 7], [0, 1, 1]), Item([8])], kinds, 9)
    assert feeds["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert feeds["attention_mask"].tolist() == mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert feeds["attention_mask"].dtype == np.int32
    assert feeds["token_type_ids"].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert feeds["position_ids"].tolist() == [[0, 1, 2], [0, 0, 0]]


def _others() -> list[Port]:
    return [Port(name, "i64", np.int64, (None, None)) for name in ("token_type_ids", "position_ids")]

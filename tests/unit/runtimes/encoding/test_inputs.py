from typing import Any

import pytest

from moorage.errors import BadRequest
from moorage.runtimes.encoding import inputs
from moorage.runtimes.encoding.port import Cut, Profile
from moorage.wire.api.truncation import Truncation

PROFILE = Profile(
    task="embed", kinds=frozenset({"embed"}), context=100, vocabulary=10, specials=2, pair_specials=3,
    prompts={"query": "ask: ", "passage": "text: ", "plain": ""}, default_prompt="passage",
)  # fmt: skip


def test_one_text_or_many() -> None:
    assert inputs.texts("a") == ["a"]
    assert inputs.texts(["a", "b"]) == ["a", "b"]
    assert inputs.texts([1, 2]) == [[1, 2]]
    assert inputs.texts([[1], [2, 3]]) == [[1], [2, 3]]
    for mixed in (["a", 1], [[1], 2], ["a", [1]]):
        with pytest.raises(BadRequest, match="mixed"):
            inputs.texts(mixed)
    with pytest.raises(BadRequest, match="2048"):
        inputs.texts([[1]] * 2049)
    assert inputs.texts([1] * 5000) == [[1] * 5000]


def test_prompts_by_name_else_the_default() -> None:
    assert inputs.prompt_of(PROFILE, *inputs.QUERY) == "ask: "
    assert inputs.prompt_of(PROFILE, *inputs.DOCUMENT) == "text: "
    assert inputs.prompt_of(PROFILE, "clustering") == "text: "
    assert inputs.prompt_of(PROFILE, "plain") == ""
    assert inputs.prompted(["a", [1]], "ask: ") == ["ask: a", [1]]


@pytest.mark.parametrize(
    ("wish", "cut"),
    [
        ({}, None),
        ({"truncate": False}, None),
        ({"truncate": "NONE"}, None),
        ({"truncation_side": "left"}, None),
        ({"truncate": True}, Cut(100)),
        ({"truncate": "START"}, Cut(100, "left")),
        ({"truncate_prompt_tokens": -1}, Cut(100)),
        ({"truncate_prompt_tokens": 3}, Cut(3)),
        ({"truncate_prompt_tokens": 9, "truncate": "START"}, Cut(9, "left")),
        ({"truncate_prompt_tokens": 9, "truncation_side": "left"}, Cut(9, "left")),
    ],
)
def test_wishes_to_cut(wish: dict[str, Any], cut: Cut | None) -> None:
    assert inputs.cut_of(Truncation(**wish), PROFILE) == cut


@pytest.mark.parametrize("tokens", [101, 0, 2])
def test_wishes_that_cannot_be(tokens: int) -> None:
    with pytest.raises(BadRequest) as error:
        inputs.cut_of(Truncation(truncate_prompt_tokens=tokens), PROFILE)
    assert error.value.param == "truncate_prompt_tokens"
    with pytest.raises(BadRequest):
        inputs.cut_of(Truncation(truncate_prompt_tokens=3), PROFILE, pairs=True)


def test_places_name_the_text() -> None:
    assert inputs.places("input", "a", 1) == ["input"]
    assert inputs.places("input", ["a"], 1) == ["input"]
    assert inputs.places("input", ["a", "b"], 2) == ["input[0]", "input[1]"]

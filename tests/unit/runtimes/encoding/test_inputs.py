from collections.abc import Sequence
from typing import Any

import pytest

from moorage.errors import BadRequest
from moorage.runtimes.encoding import inputs
from moorage.runtimes.encoding.port import Cut, Item, Kind, Numbers, Pair, Profile, Text
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


class Letters:
    """An encoder whose tokens are the letters. It counts those it was given."""

    profile = PROFILE

    def __init__(self) -> None:
        self.read = 0

    async def encode(self, texts: Sequence[Text | Pair], *, special: bool = True, cut: Cut | None = None) -> list[Item]:
        strings = [text for text in texts if isinstance(text, str)]
        self.read += sum(map(len, strings))
        return [Item([1] * len(text)) for text in strings]

    async def run(self, kind: Kind, items: Sequence[Item]) -> list[Numbers]:
        raise NotImplementedError


async def test_a_text_too_long_is_refused_before_the_rest_is_read() -> None:
    """Six calls of ten megabytes took two gigabytes and 20 s before they were refused."""
    letters = Letters()
    many = ["x" * 5000] * 2000
    with pytest.raises(BadRequest, match=r"input\[0\]: the text has 5000 tokens"):
        await inputs.encoded(letters, many, inputs.places("input", many, len(many)), None)
    assert letters.read < 2 * inputs.SLICE_CHARS
    short = ["x" * (1 + index % 100) for index in range(3000)]
    found = await inputs.encoded(letters, short, inputs.places("input", short, len(short)), None)
    assert [len(item.ids) for item in found] == [len(text) for text in short]

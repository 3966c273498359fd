import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.runtimes.generating.forced import ForcedCall

ARGUMENTS = {"text": 'a "quoted" } brace \\', "list": [1, {"x": "]"}], "ü": "🎈"}


def fed(call: ForcedCall, text: str, cuts: list[int]) -> tuple[dict[str, Any], str]:
    """The opening piece and the arguments of `text` that comes in parts."""
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    pieces = [piece for begin, end in pairwise(places) for piece in call.feed(text[begin:end])]
    assert all("id" not in piece and "name" not in piece["function"] for piece in pieces[1:])
    return pieces[0], "".join(piece["function"]["arguments"] for piece in pieces)


@given(st.lists(st.integers(0, 500), max_size=30))
def test_one_function_however_it_is_cut(cuts: list[int]) -> None:
    call = ForcedCall("f")
    opening, arguments = fed(call, json.dumps(ARGUMENTS, ensure_ascii=False), cuts)
    assert opening["type"] == "function"
    assert opening["id"].startswith("call_")
    assert opening["function"]["name"] == "f"
    assert json.loads(arguments) == ARGUMENTS
    assert call.complete


@given(st.lists(st.integers(0, 500), max_size=30), st.sampled_from([None, 1, 3]))
def test_a_choice_of_functions_however_it_is_cut(cuts: list[int], indent: int | None) -> None:
    text = json.dumps({"name": 'odd "name"', "arguments": ARGUMENTS}, indent=indent) + " \n"
    call = ForcedCall(None)
    opening, arguments = fed(call, text, cuts)
    assert opening["function"]["name"] == 'odd "name"'
    assert json.loads(arguments) == ARGUMENTS
    assert call.complete


@pytest.mark.parametrize(
    ("name", "text", "opened"),
    [(None, '{"name": "f", "argu', False), (None, '{"name": "f", "arguments": {"x', True), ("f", '{"x": "}', True)],
)
def test_a_call_that_was_cut_off_is_not_complete(name: str | None, text: str, opened: bool) -> None:
    call = ForcedCall(name)
    assert bool(call.feed(text)) is opened
    assert not call.complete

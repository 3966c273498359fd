"""What a call gives to be encoded: checked, prompted, in tokens, and no longer than the model reads."""

from collections.abc import Iterator, Sequence
from typing import cast

from moorage.errors import BadRequest, InternalError
from moorage.runtimes.encoding.port import Cut, Encoder, Item, Pair, Profile, Text
from moorage.wire.api.embeddings import TEXTS_MAX
from moorage.wire.api.truncation import Truncation

CHARS_MAX = 1 << 20
"""Of one text: more than any encoder reads, and a tenth of a second to take apart."""
SLICE_CHARS = 1 << 16
"""Texts are judged in slices of about so many characters: one that is too long is refused before the rest of a large
call is taken apart and held."""
QUERY = ("query", "search_query", "retrieval.query", "Retrieval-query")
DOCUMENT = ("document", "passage", "search_document", "retrieval.passage", "Retrieval-document", "corpus")
"""Under which names models keep the prompts of what is asked and of what may answer it."""
HOW_TO_CUT = "shorten it, or have it cut with truncate_prompt_tokens: -1"


def texts(given: str | Sequence[object], param: str = "input") -> list[Text]:
    """One text or many, each a string or tokens. Raises BadRequest where kinds are mixed."""
    if isinstance(given, str):
        return [given]
    kinds = {type(entry) for entry in given}
    if len(kinds) > 1:
        raise BadRequest(f"{param}: strings, integers and arrays cannot be mixed", param=param)
    if kinds == {int}:
        return [cast("list[int]", given)]
    if len(given) > TEXTS_MAX:
        raise BadRequest(f"{param}: {len(given)} texts, at most {TEXTS_MAX} fit one call", param=param)
    return cast("list[Text]", given)


def prompted(given: Sequence[Text], prompt: str) -> list[Text]:
    """Strings with the model's prompt before them; a client's own tokens stay as they are."""
    if not prompt:
        return list(given)
    return [prompt + text if isinstance(text, str) else text for text in given]


def prompt_of(profile: Profile, *names: str) -> str:
    """The model's prompt of the first of these names that it has, else its default."""
    for name in names:
        if name in profile.prompts:
            return profile.prompts[name]
    return profile.prompts.get(profile.default_prompt or "", "")


def cut_of(request: Truncation, profile: Profile, *, pairs: bool = False) -> Cut | None:
    """What the call says about longer texts. Raises BadRequest for a number of tokens that cannot be."""
    tokens, truncate = request.truncate_prompt_tokens, request.truncate
    if tokens is None:
        if truncate in (None, False, "NONE"):
            return None
        tokens = -1
    side = request.truncation_side or ("left" if truncate == "START" else "right")
    if tokens == -1:
        return Cut(profile.context, side)
    if tokens > profile.context:
        raise BadRequest(
            f"truncate_prompt_tokens: {tokens} is more than the {profile.context} tokens that the model reads",
            param="truncate_prompt_tokens",
        )
    specials = profile.pair_specials if pairs else profile.specials
    if tokens <= specials:
        raise BadRequest(
            f"truncate_prompt_tokens: {tokens} leaves no room for text: the model itself adds {specials} tokens",
            param="truncate_prompt_tokens",
        )
    return Cut(tokens, side)


async def encoded(
    encoder: Encoder, given: Sequence[Text | Pair], places: Sequence[str], cut: Cut | None, *, how: str = HOW_TO_CUT
) -> list[Item]:
    """Texts in tokens; `places` names each in errors.

    Raises BadRequest for one that the model cannot read, InternalError where its tokenizer is another model's.
    """
    profile = encoder.profile
    for text, place in zip(given, places, strict=True):
        _check(text, place, profile)
    items: list[Item] = []
    for begin, end in _slices(given):
        found = await encoder.encode(given[begin:end], cut=cut)
        for item, text, place in zip(found, given[begin:end], places[begin:end], strict=True):
            if not item.ids:
                raise BadRequest(f"{place}: the text has no tokens", param=place)
            if len(item.ids) > profile.context:
                what = "the two texts have" if isinstance(text, Pair) else "the text has"
                raise too_long(place, f"{what} {len(item.ids)} tokens, the model reads {profile.context}; {how}")
            if (last := max(item.ids)) >= profile.vocabulary:
                # It would fail in the model, and with it the texts of others in the same step.
                raise InternalError(
                    f"{place}: the tokenizer gives token {last}, the model knows {profile.vocabulary}; its files do "
                    "not belong together, get the model again",
                    code="wrong_tokenizer",
                )
        items += found
    return items


def too_long(place: str, what: str) -> BadRequest:
    return BadRequest(f"{place}: {what}", param=place, code="context_length_exceeded")


def places(param: str, given: object, count: int) -> list[str]:
    """How errors name each of `count` texts of a field."""
    return [param] if isinstance(given, str) or count == 1 else [f"{param}[{index}]" for index in range(count)]


def check_tokens(tokens: Sequence[int], place: str, profile: Profile) -> None:
    """Raises BadRequest for a token that the vocabulary does not have."""
    for index, token in enumerate(tokens):
        if token >= profile.vocabulary:
            where = f"{place}[{index}]"
            known = f"ids go from 0 to {profile.vocabulary - 1}"
            raise BadRequest(f"{where}: the vocabulary has no token {token}; {known}", param=where)


def _slices(given: Sequence[Text | Pair]) -> Iterator[tuple[int, int]]:
    """The texts in order: [begin, end)."""
    begin = size = 0
    for index, text in enumerate(given):
        if size >= SLICE_CHARS:
            yield begin, index
            begin, size = index, 0
        size += _chars(text)
    yield begin, len(given)


def _chars(text: Text | Pair) -> int:
    """A client's own tokens are there already."""
    if isinstance(text, Pair):
        return len(text.first) + len(text.second)
    return len(text) if isinstance(text, str) else 0


def _check(text: Text | Pair, place: str, profile: Profile) -> None:
    if isinstance(text, list):
        check_tokens(text, place, profile)
        return
    chars = _chars(text)
    if chars > CHARS_MAX:
        raise BadRequest(
            f"{place}: the text has {chars} characters, at most {CHARS_MAX} are read; split it", param=place
        )

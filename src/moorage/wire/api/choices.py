"""What may stand in a field, read from the types: a decoder says only that a value is none of it."""

import re
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from msgspec import Struct, structs

_STEP = re.compile(r"\[[^\]]*\]|[^.\[\]]+")


def choices(kind: type[Struct], place: str) -> tuple[str, ...]:
    """The words that may stand at `place` of a `kind`, such as `messages[0].role`; none where it takes other values."""
    kinds: list[Any] = [kind]
    for step in _STEP.findall(place):
        kinds = [inner for outer in _alternatives(kinds) for inner in _inside(outer, step)]
    found = [word for alternative in _alternatives(kinds) for word in _words(alternative)]
    return tuple(dict.fromkeys(found))


def _alternatives(kinds: Iterable[Any]) -> Iterator[Any]:
    for kind in kinds:
        if get_origin(kind) is Annotated:
            yield from _alternatives(get_args(kind)[:1])
        elif get_origin(kind) in (Union, UnionType):
            yield from _alternatives(get_args(kind))
        else:
            yield kind


def _inside(kind: Any, step: str) -> Iterator[Any]:
    """The types one step further in: of a field, or of what a list or dict holds."""
    if step.startswith("["):
        yield from get_args(kind)[-1:]
    elif isinstance(kind, type) and issubclass(kind, Struct):
        config = kind.__struct_config__
        if step == config.tag_field:
            yield Literal[cast("str", config.tag)]
        yield from (field.type for field in structs.fields(kind) if field.encode_name == step)


def _words(kind: Any) -> Iterator[str]:
    if get_origin(kind) is Literal:
        yield from (word for word in get_args(kind) if isinstance(word, str))

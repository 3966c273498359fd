"""Fields of a form as a struct: text made numbers and flags where the struct says so, lists out of repeated fields."""

import math
import re
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, inspect

from moorage.errors import BadRequest
from moorage.wire.api.decoding import decode

T = TypeVar("T", bound=Struct)

_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_INSIDE = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")
"""`name[]` is one entry of a list, `name[field]` one field of an object."""
_NUMBER = re.compile(r"[+-]?(\d+|\d*\.\d+|\d+\.)([eE][+-]?\d+)?", re.ASCII)
NUMBER_CHARS_MAX = 100


def decode_form(kind: type[T], fields: Iterable[tuple[str, str]]) -> T:
    """`fields` are names and texts in the order they came; an empty text is as good as none. Fields that `kind` does
    not have are ignored. Raises BadRequest that names the field and what it may be."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return decode(kind, msgspec.json.encode(_object(info, fields)))


def _object(info: inspect.StructType, fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    kinds = {field.encode_name: _kinds(field.type) for field in info.fields}
    values: dict[str, Any] = {}
    objects: dict[str, list[tuple[str, str]]] = {}
    for name, text in fields:
        inside = _INSIDE.fullmatch(name)
        name, part = (inside[1], inside[2]) if inside else (name, "")
        if name not in kinds or not text:
            continue
        if part:
            objects.setdefault(name, []).append((part, text))
        elif entries := _one(kinds[name], inspect.ListType):
            values.setdefault(name, []).append(_value(_kinds(entries.item_type), text))
        elif name in values:
            raise BadRequest(f"{name} comes twice in the form", param=name, code="invalid_value")
        else:
            values[name] = _value(kinds[name], text)
    for name, parts in objects.items():
        struct = _one(kinds[name], inspect.StructType)
        if struct is None or name in values:
            raise BadRequest(f"{name} has no fields of its own in a form", param=name, code="invalid_type")
        values[name] = _object(struct, parts)
    return values


K = TypeVar("K", bound=inspect.Type)


def _kinds(declared: inspect.Type) -> tuple[inspect.Type, ...]:
    """The alternatives of a declared type, without its description."""
    if isinstance(declared, inspect.Metadata):
        return _kinds(declared.type)
    if isinstance(declared, inspect.UnionType):
        return tuple(kind for each in declared.types for kind in _kinds(each))
    return (declared,)


def _one(kinds: tuple[inspect.Type, ...], wanted: type[K]) -> K | None:
    return next((kind for kind in kinds if isinstance(kind, wanted)), None)


def _value(kinds: tuple[inspect.Type, ...], text: str) -> Any:
    """`text` as the kind that is wanted, or as it is: then the struct's decoder says what it should have been."""
    if _one(kinds, inspect.BoolType):
        return _FLAGS.get(text.strip().lower(), text)
    if _one(kinds, inspect.IntType) or _one(kinds, inspect.FloatType):
        return _number(text.strip())
    if _one(kinds, inspect.StructType) and text.lstrip().startswith("{"):
        return _parsed(text)
    return text


def _number(text: str) -> Any:
    if len(text) > NUMBER_CHARS_MAX or not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() and abs(number) < 1 << 53 else number


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text

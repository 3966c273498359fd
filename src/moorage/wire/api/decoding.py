"""Bodies decoded strictly: an error names the field, and what it may be."""

import re
from typing import TypeVar

import msgspec
from msgspec import Struct

from moorage.errors import BadRequest
from moorage.wire.api.choices import choices

T = TypeVar("T", bound=Struct)

_WORDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_PLACE = re.compile(r"(.*) - at `(?:key in )?\$\.?([^`]*)`$", re.DOTALL)
_TYPES = re.compile(r"`([a-z]+(?: \| [a-z]+)*)`")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_EMPTY = re.compile(r"Expected `\w+` of length >= 1$")
_CHOICE = re.compile(r"Invalid (?:enum )?value (.*)$", re.DOTALL)

SHOWN_CHARS = 100
"""Of a value that is refused."""


def decode(kind: type[T], body: bytes) -> T:
    """`body` as `kind`. Raises BadRequest that names the field and what it may be."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _explained(kind, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from error
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply") from error


def _explained(kind: type[Struct], text: str) -> BadRequest:
    place = _PLACE.match(text)
    what, param = (place[1], place[2]) if place else (text, None)
    if missing := _MISSING.search(what):
        param = f"{param}.{missing[1]}" if param else missing[1]
        return BadRequest(f"{param} is required", param=param, code="missing_required_parameter")
    if param and _EMPTY.match(what):
        return BadRequest(f"{param} must not be empty", param=param, code="empty_input")
    if param and (choice := _CHOICE.match(what)) and (known := choices(kind, param)):
        value = choice[1] if len(choice[1]) <= SHOWN_CHARS else f"{choice[1][:SHOWN_CHARS]}…"
        message = f"{param}: {value} is none of {', '.join(map(repr, known))}"
        return BadRequest(message, param=param, code="invalid_value")
    what = _TYPES.sub(lambda match: " or ".join(_WORDS.get(word, word) for word in match[1].split(" | ")), what)
    what = what[:1].lower() + what[1:]
    return BadRequest(f"{param or 'the body'}: {what}", param=param, code="invalid_type" if "got" in what else None)


def one_of(param: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value`, if it is allowed; else BadRequest that lists what is."""
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise BadRequest(f"{param}: {value!r} is none of {choices}", param=param, code="invalid_value")
    return value

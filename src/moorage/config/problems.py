"""What is wrong with a configuration, in words: the option, the value where it is no secret, what may stand there."""

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic_core import ErrorDetails

from moorage.config.options import Option, Path, dotted
from moorage.config.plain import is_list, is_section, kind
from moorage.config.units import Unfit

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of sensible size",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text; put it in quotes if it looks like something else",
    "path_type": "a path",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a section with `key: value` lines",
    "model_type": "a section with `key: value` lines",
    "model_attributes_type": "a section with `key: value` lines",
}
_SHOWN = 60


class Known:
    """The options there are, found by the path of a value."""

    def __init__(self, options: Iterable[Option]) -> None:
        self._options = {option.path: option for option in options}

    def at(self, path: Path) -> Option | None:
        return self._options.get(tuple("*" if isinstance(part, int) else part for part in path))

    def below(self, path: Path) -> list[str]:
        """The names that may stand in the section at `path`."""
        pattern = tuple("*" if isinstance(part, int) else part for part in path)
        return [found[-1] for found in self._options if found[:-1] == pattern]

    def secret(self, path: Path) -> bool:
        """Whether the value at `path` is a secret, holds one, or stands beside or below one."""
        pattern = tuple("*" if isinstance(part, int) else part for part in path)
        parent = pattern[:-1]
        return any(
            option.secret
            and (
                found[: len(pattern)] == pattern
                or (parent and found[: len(parent)] == parent)
                or pattern[: len(found) - 1] == found[:-1]
            )
            for found, option in self._options.items()
            if pattern
        )

    def name(self, path: Path) -> str:
        """The path as messages write it. A key out of place near secrets may be one that lost its quotes: left out."""
        shown: list[str | int] = []
        for length, part in enumerate(path):
            parent = path[:length]
            strange = isinstance(part, str) and part not in self.below(parent)
            # Below the first level the whole section counts, since wrong nesting has no options to compare with.
            hidden = strange and parent and (self.secret(parent) or (length > 1 and self.secret(path[:1])))
            shown.append("…" if hidden else part)
        return dotted(tuple(shown))

    def suggestion(self, path: Path) -> str:
        """What the unknown key at the end of `path` was perhaps meant to be: a clause, or nothing."""
        parent, wrong = path[:-1], str(path[-1])
        here = self.below(parent)
        if near := difflib.get_close_matches(wrong.lower().replace("-", "_"), here, n=1, cutoff=0.6):
            return f"did you mean {dotted((*parent, near[0]))}?"
        elsewhere = [option.name for found, option in self._options.items() if found[-1] == wrong]
        if elsewhere:
            return f"did you mean {elsewhere[0]}?"
        return f"{dotted(parent) or 'the top'} may have {', '.join(here)}" if here else ""


def real_path(location: tuple[str | int, ...], data: Any, *, missing: bool) -> Path:
    """The part of a validator's location that is in the data; the rest names alternatives that were tried.

    With `missing` the last part is an option that is not there but should be.
    """
    for length, part in enumerate(location):
        if is_section(data) and part in data:
            data = data[str(part)]
        elif is_list(data) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            absent = missing and is_section(data) and length == len(location) - 1
            return location if absent else location[:length]
    return location


def describe(error: ErrorDetails, path: Path, written: Any, known: Known) -> str:
    """One validation error at `path`. `written` is the value before variables were filled in."""
    name = known.name(path)
    if error["type"] == "extra_forbidden":
        hint = known.suggestion(path)
        meant = dotted(path) if hint.startswith("did you mean") else name
        return f"{meant}: unknown option{'; ' if hint else ''}{hint}"
    if error["type"] == "missing":
        return f"{name}: is required"
    option = known.at(path)
    reason = error.get("ctx", {}).get("error")
    if isinstance(reason, ValueError) and not isinstance(reason, Unfit):
        return str(reason) if str(reason).startswith(name) else f"{name}: {reason}"
    several = len(error["loc"]) > len(path) and known.at(error["loc"]) is None
    expected = "text, a number, true or false, or a list of texts and numbers" if several else _expected(error)
    return f"{name}: {shown(written, option, known.secret(path))} will not do; it should be {expected}"


def shown(written: Any, option: Option | None, secret: bool) -> str:
    """The value where it may be seen, else what kind of value it is."""
    secret = secret or option is None or option.key
    if secret or option is None or option.section is not None or not isinstance(written, (str, int, float)):
        return kind(written)
    text = repr(written) if isinstance(written, str) else str(written).lower()
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _expected(error: ErrorDetails) -> str:
    wrong = error["type"]
    context = error.get("ctx", {})
    reason = context.get("error")
    if isinstance(reason, Unfit):
        return reason.expected
    if wrong in _EXPECTED:
        return _EXPECTED[wrong]
    if wrong == "literal_error":
        return str(context["expected"]).replace("'", "")
    bounds = {
        "greater_than_equal": ("at least", "ge"),
        "less_than_equal": ("at most", "le"),
        "greater_than": ("more than", "gt"),
        "less_than": ("less than", "lt"),
    }
    if wrong in bounds:
        word, key = bounds[wrong]
        return f"{word} {context[key]}"
    if wrong == "string_pattern_mismatch":
        return f"text that matches {context['pattern']}"
    if wrong == "string_too_short":
        return f"text of at least {context['min_length']} character{'s' if context['min_length'] > 1 else ''}"
    if wrong == "string_too_long":
        return f"text of at most {context['max_length']} characters"
    return error["msg"].removeprefix("Input should be ").removeprefix("Input ")

"""What becomes of one key of a foreign file, as data: an option, or a reason why nothing does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Kind = Literal["honoured", "mapped", "warned", "refused"]
"""honoured: means here what it meant there. mapped: becomes an option of another name, or the nearest value. warned:
has no effect, and the reason is told. refused: the file cannot be used as it is."""


@dataclass(frozen=True)
class Nearest:
    """A value that is not quite what was asked for, and why."""

    value: Any
    why: str


@dataclass(frozen=True)
class Left:
    """No value: it has no effect here, and why."""

    why: str


@dataclass(frozen=True)
class Understood:
    """No value, because nothing needs to be set for it."""

    why: str


class Verbatim:
    """The engine the file is from understands it, no other: passed to that engine as it is."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Rule:
    kind: Kind
    option: str = ""
    """`options.dtype` of the model the key belongs to, or from the root: `server.port`. Empty for none."""
    why: str = ""
    read: Callable[[Any], Any] = _same
    """The foreign value → ours, or Nearest, Left, Understood, Verbatim. Raises Unfit."""
    harmless: tuple[Any, ...] = ()
    """Of a key without effect: the values by which nothing is lost."""


Rules: TypeAlias = "Mapping[str, Rule | Rules]"
"""Key → what becomes of it, or of the keys in its section. Keys are written with _ and found with - as well."""


def same(option: str, why: str = "", read: Callable[[Any], Any] = _same) -> Rule:
    """The option says the same."""
    return Rule("honoured", option, why, read)


def becomes(option: str, why: str = "", read: Callable[[Any], Any] = _same) -> Rule:
    """The option is called or written otherwise."""
    return Rule("mapped", option, why, read)


def understood(why: str) -> Rule:
    """Nothing needs to be set for it."""
    return Rule("honoured", why=why)


def nothing(why: str, *harmless: Any) -> Rule:
    """It has no effect here."""
    return Rule("warned", why=why, harmless=harmless)


def plain_key(key: str) -> str:
    """A key as tables have it."""
    return key.replace("-", "_")

"""The options of a tree of sections, read from its one declaration: names, environment names, marks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import SecretStr, TypeAdapter
from pydantic.fields import FieldInfo

from moorage.config.marks import Restart, SecondSpelling
from moorage.config.model import Section

ENVIRONMENT_PREFIX = "MOORAGE_"

Path = tuple[str | int, ...]
"""The way to a value: keys, and positions in lists."""


@dataclass(frozen=True)
class Option:
    """One thing that can be set."""

    path: tuple[str, ...]
    """Keys from the root; `*` stands for any item of a list."""
    owner: type[Section]
    """The section it is declared in."""
    field: FieldInfo
    secret: bool
    restart: bool
    second_spelling_of: str | None
    section: type[Section] | None
    """The section it holds, one or a list of them."""

    @property
    def name(self) -> str:
        return dotted(self.path)

    @property
    def key(self) -> bool:
        """Whether its value is a secret, though it stands among others that are none."""
        parts = [get_args(part)[0] if get_origin(part) is Annotated else part for part in _parts(self)]
        return SecretStr in parts

    @property
    def default(self) -> Any:
        """The default as a file would say it; None for none and for required options."""
        if self.field.is_required() or self.section is not None:
            return None
        return TypeAdapter[Any](self.field.rebuild_annotation()).dump_python(self.field.default, mode="json")

    @property
    def environment(self) -> str | None:
        """The variable that sets it: one for every single value of a section."""
        if self.section or "*" in self.path or self.second_spelling_of or get_origin(self.field.annotation) is dict:
            return None
        return ENVIRONMENT_PREFIX + "_".join(self.path).upper()


def _parts(option: Option) -> tuple[Any, ...]:
    """What the option may be: the parts of a union."""
    return get_args(option.field.annotation)


def dotted(path: Path) -> str:
    """`models.local[0].name`, as messages and references write a path."""
    text = ""
    for part in path:
        listed = isinstance(part, int) or part == "*"
        text += f"[{'' if part == '*' else part}]" if listed else f".{part}" if text else str(part)
    return text


def options(root: type[Section], path: tuple[str, ...] = (), secret: bool = False) -> Iterator[Option]:
    """Every option below `root`, sections before what is in them, in the order they are declared."""
    for name, field in root.model_fields.items():
        section, many = _section(field.annotation)
        here = Option(
            path=(*path, name),
            owner=root,
            field=field,
            secret=secret or field.annotation is SecretStr,
            restart=any(isinstance(mark, Restart) for mark in field.metadata),
            second_spelling_of=next((mark.of for mark in field.metadata if isinstance(mark, SecondSpelling)), None),
            section=section,
        )
        yield here
        if section is not None:
            yield from options(section, (*here.path, "*") if many else here.path)


def _section(annotation: Any) -> tuple[type[Section] | None, bool]:
    """The section an annotation holds, and whether it holds a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, False
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _section(inner[0])
    if get_origin(annotation) is tuple:
        return _section(inner[0])[0], True
    return None, False

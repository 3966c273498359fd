"""A foreign file turned into the tree of moorage.yaml, with a note for every one of its keys."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moorage.config.foreign.rules import Kind, Left, Nearest, Rule, Rules, Understood, Verbatim, plain_key
from moorage.config.options import Path, dotted
from moorage.config.plain import at, is_list, is_section, kind
from moorage.config.units import Unfit

ROOTS = frozenset({"server", "auth", "models", "workers", "logging", "monitoring", "cache_dir", "state_dir"})
"""What options that are not a model's begin with."""

_OPTION = re.compile(r"\b(?:server|auth|models|workers|logging|monitoring)(?:\.\w+|\[\d+\])+")


@dataclass(frozen=True)
class Note:
    """What became of one key."""

    kind: Kind
    key: Path
    """In the foreign file."""
    into: Path | None = None
    """The option of the tree, where there is one; the first of several."""
    why: str = ""


@dataclass(frozen=True)
class Converted:
    tree: Any
    """As moorage.yaml would say it; variables are not filled in."""
    notes: tuple[Note, ...]
    origins: Mapping[Path, Path] = field(default_factory=dict[Path, Path])
    """Place in the tree → the key of the foreign file it is from. Empty where the tree is the file's own."""

    def told(self, kind: Kind) -> Iterable[Note]:
        """The notes of a kind. What has no effect as a whole is told once, not again for the keys below."""
        whole = {note.key for note in self.notes if note.kind == kind == "warned"}
        for note in self.notes:
            if note.kind == kind and not any(note.key[:length] in whole for length in range(len(note.key))):
                yield note

    def origin(self, path: Path) -> Path:
        """The key of the file that a place in the tree, or what is nearest above it, is from."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return ()

    def reworded(self, message: str) -> str:
        """A message about the tree in the foreign file's own names."""
        names = {dotted(path): dotted(key) for path, key in self.origins.items()}

        def name(found: re.Match[str]) -> str:
            if found[0] in names:
                return names[found[0]]
            above = max((one for one in names if found[0].startswith((f"{one}.", f"{one}["))), key=len, default="")
            return f"{found[0]} (of {names[above]})" if names.get(above) else found[0]

        return _OPTION.sub(name, message)


class Translation:
    """Collects the tree and its notes, key by key."""

    def __init__(self, title: str, engine: str = "") -> None:
        """`engine`: which one takes values that no other understands."""
        self._title = title
        self._engine = engine
        self.tree: dict[str, Any] = {}
        self._notes: list[Note] = []
        self._origins: dict[Path, Path] = {}

    def finish(self) -> Converted:
        return Converted(self.tree, tuple(self._notes), self._origins)

    # Notes

    def note(self, kind: Kind, key: Path, why: str = "", into: Path | None = None) -> None:
        self._notes.append(Note(kind, key, into, why))

    def refuse(self, key: Path, why: str) -> None:
        self.note("refused", key, why)

    @property
    def refused(self) -> bool:
        return any(note.kind == "refused" for note in self._notes)

    def leave(self, key: Path, value: Any, why: str) -> None:
        """The key and all below it have no effect."""
        self.note("warned", key, why)
        self._below(key, value, "warned", why)

    def unknown(self, key: Path, value: Any, known: Iterable[str]) -> None:
        near = difflib.get_close_matches(plain_key(str(key[-1])).lower(), list(known), n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        self.leave(key, value, f"is no key of {self._title} and has no effect{hint}")

    def section(self, value: Any, key: Path) -> dict[str, Any]:
        """The value where it is a section, else an empty one, and a refusal."""
        if is_section(value):
            return value
        if value is None:
            self.note("honoured", key, "empty, as if left out")
        else:
            self.refuse(key, f"{kind(value)} will not do; it should be a section")
        return {}

    # Values

    def apply(self, rules: Rules, data: Mapping[str, Any], key: Path, bases: Sequence[Path]) -> None:
        """Every key of a section by its rule. `bases` are the models in the tree that it speaks of."""
        for name, value in data.items():
            rule = rules.get(plain_key(name))
            if rule is None:
                self.unknown((*key, name), value, rules)
            elif isinstance(rule, Rule):
                self.apply_one(rule, value, (*key, name), bases)
            else:
                inner = self.section(value, (*key, name))
                if is_section(value):
                    self.note("honoured", (*key, name), "its keys have notes of their own")
                self.apply(rule, inner, (*key, name), bases)

    def apply_one(self, rule: Rule, value: Any, key: Path, bases: Sequence[Path]) -> None:
        if value is None:
            self.note("honoured", key, "empty, as if left out")
            return
        if rule.kind == "warned":
            if any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in rule.harmless):
                self.note("honoured", key, "nothing is lost by it")
            else:
                self.leave(key, value, rule.why)
            return
        try:
            result = rule.read(value)
        except Unfit as error:
            if not _filled_later(value):
                self.refuse(key, f"{_shown(value)} will not do; it should be {error.expected}")
                return
            result = value
        if isinstance(result, Verbatim) and _filled_later(value):
            result = value
        if isinstance(result, Left):
            self.leave(key, value, result.why)
        elif isinstance(result, Understood):
            self.tell(key, value, "honoured", result.why)
        elif isinstance(result, Verbatim):
            self.pass_on(key, value, bases)
        elif not rule.option:
            self.tell(key, value, rule.kind, rule.why)
        elif isinstance(result, Nearest):
            self._put_all(rule.option, result.value, key, value, bases, "mapped", result.why)
        else:
            self._put_all(rule.option, result, key, value, bases, rule.kind, rule.why)

    def pass_on(self, key: Path, value: Any, bases: Sequence[Path], flag: str = "") -> None:
        """Hand a flag to the engine the file is from, which then is the only one that will do."""
        name = (flag or str(key[-1])).replace("_", "-")
        plain = isinstance(value, (str, int, float)) or (
            is_list(value) and all(isinstance(item, (str, int, float)) and not isinstance(item, bool) for item in value)
        )
        why = f"only {self._engine} has it, so that the engine is {self._engine}"
        for base in bases:
            self.put((*base, "options", "extra_args", name), value if plain else as_json(value), key)
            self.put((*base, "engine"), self._engine, key, quiet=True)
        self.tell(key, value, "mapped", why, (*bases[0], "options", "extra_args", name) if bases else None)

    def put(self, into: Path, value: Any, key: Path, *, quiet: bool = False) -> bool:
        """Set a value of the tree. One that another key has set otherwise is a refusal."""
        there = at(self.tree, into)
        if there is not None and there != value:
            if not quiet:
                other = dotted(self._origins.get(into, ()))
                self.refuse(key, f"says otherwise than {other}; both become {dotted(into)}, keep one")
            return False
        _place(self.tree, into, value)
        self._origins.setdefault(into, key)
        return True

    def model(self, key: Path) -> Path:
        """Begin another model; its place in the tree."""
        models = self.tree.setdefault("models", {}).setdefault("local", [])
        models.append({})
        base: Path = ("models", "local", len(models) - 1)
        self._origins[base] = key
        return base

    def _put_all(
        self, option: str, result: Any, key: Path, value: Any, bases: Sequence[Path], kind: Kind, why: str
    ) -> None:
        path = tuple(option.split("."))
        places: list[Path] = [path] if path[0] in ROOTS else [(*base, *path) for base in bases]
        put = [self.put(place, result, key) for place in places]
        if all(put):
            self.tell(key, value, kind, why, places[0] if places else None)

    def tell(self, key: Path, value: Any, kind: Kind, why: str, into: Path | None = None) -> None:
        self.note(kind, key, why, into)
        self._below(key, value, kind, why)

    def _below(self, key: Path, value: Any, kind: Kind, why: str) -> None:
        inner = value.items() if is_section(value) else enumerate(value) if is_list(value) else ()
        for name, item in inner:
            if is_section(value) or is_section(item) or is_list(item):
                self.note(kind, (*key, name), why)
            self._below((*key, name), item, kind, why)


def _place(tree: dict[str, Any], into: Path, value: Any) -> None:
    here: Any = tree
    for part in into[:-1]:
        if is_section(here):
            here = here.setdefault(str(part), {})
        elif is_list(here) and isinstance(part, int):
            here = here[part]
    if is_section(here):
        here[str(into[-1])] = value


def _filled_later(value: Any) -> bool:
    """Whether a variable will be filled in: what it holds is judged with the tree."""
    return isinstance(value, str) and "${" in value


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, (int, float)) else ""
    return text if 0 < len(text) <= 60 else kind(value)


def as_json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)

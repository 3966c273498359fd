"""`${VAR}`, `${VAR:-default}`, `${file:PATH}` and `$$` in the texts of a configuration.

A `$` before anything else is itself. What a variable or file holds is taken as it is, never read for further `${`.
A default may itself use variables, and is used when the variable is unset or empty.
"""

import re
from dataclasses import dataclass, field

from moorage.config.environment import Environment, read_secret
from moorage.errors import ConfigError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_MAX_DEPTH = 8
_FILE = "file:"


@dataclass(frozen=True)
class Interpolated:
    """A text with its variables filled in, and what could not be."""

    text: str
    problems: list[str]
    changed: bool = False
    """Whether there was anything to fill in."""
    from_file: bool = False
    """Whether a part comes from a `${file:…}`."""


def interpolate(text: str, environment: Environment, *, secret: bool = False) -> Interpolated:
    """Fill in `text`. For a secret option a variable may also be given as NAME_FILE, the path of a file."""
    if "$" not in text:
        return Interpolated(text, [])
    reader = _Reader(text, environment, secret)
    filled, _ = reader.fill(0, used=True, depth=0)
    return Interpolated(filled, reader.problems, reader.changed, reader.from_file)


@dataclass
class _Reader:
    source: str
    environment: Environment
    secret: bool
    problems: list[str] = field(default_factory=list[str])
    changed: bool = False
    from_file: bool = False

    def fill(self, position: int, *, used: bool, depth: int) -> tuple[str, int]:
        """The source from `position`, to its end or (below the top) the closing brace, and where that is.

        An unused part, the default of a variable that is set, is read for its end only.
        """
        parts: list[str] = []
        while position < len(self.source) and not (depth and self.source[position] == "}"):
            if self.source.startswith("$$", position):
                self.changed = True
                parts.append("$")
                position += 2
            elif self.source.startswith("${", position):
                self.changed = True
                part, position = self._reference(position + 2, used=used, depth=depth)
                parts.append(part)
            else:
                parts.append(self.source[position])
                position += 1
        return "".join(parts), position

    def _reference(self, start: int, *, used: bool, depth: int) -> tuple[str, int]:
        """What `${…}` stands for, and the position after its brace."""
        if self.source.startswith(_FILE, start):
            end = self.source.find("}", start)
            if end < 0:
                return self._broken("${file: has no closing brace; write $$ for a plain dollar sign")
            return self._file(self.source[start + len(_FILE) : end]) if used else "", end + 1
        match = _NAME.match(self.source, start)
        end = match.end() if match else start
        if match and self.source.startswith("}", end):
            return self._variable(match[0]) if used else "", end + 1
        if match and self.source.startswith(":-", end):
            return self._with_default(match[0], end + 2, used=used, depth=depth)
        return self._broken("${ begins none of ${NAME}, ${NAME:-default}, ${file:PATH}; write $${ for the plain text")

    def _with_default(self, name: str, start: int, *, used: bool, depth: int) -> tuple[str, int]:
        if depth >= _MAX_DEPTH:
            return self._broken(f"defaults within defaults, more than {_MAX_DEPTH} deep")
        value = self._lookup(name) if used else None
        default, end = self.fill(start, used=used and value is None, depth=depth + 1)
        if end >= len(self.source):
            return self._broken(f"${{{name}:- has no closing brace; write $$ for a plain dollar sign")
        return default if value is None else value, end + 1

    def _broken(self, problem: str) -> tuple[str, int]:
        """The source cannot be read on: one problem is enough."""
        self.problems[:] = self.problems or [problem]
        return "", len(self.source)

    def _variable(self, name: str) -> str:
        value = self._lookup(name)
        if value is None and not self.environment.has(name):
            self.problems.append(f"the variable {name} is not set; set it, or write ${{{name}:-default}}")
        return value or ""

    def _lookup(self, name: str) -> str | None:
        if not self.secret:
            return self.environment.get(name)
        try:
            return self.environment.secret(name)
        except ConfigError as error:
            self.problems.append(f"{name}_FILE names a file that cannot be used: {error.message}")
            return ""

    def _file(self, place: str) -> str:
        self.from_file = True
        try:
            return read_secret(place)
        except ConfigError as error:
            self.problems.append(error.message)
            return ""

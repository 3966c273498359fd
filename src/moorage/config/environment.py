"""Environment variables, with those of a `.env` file behind them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from moorage.config.document import read_text
from moorage.errors import ConfigError

MAX_SECRET_BYTES = 64 * 1024

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=[^\S\n]*
        (?:'(?P<literal>[^']*)'|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^'"\s][^\n]*?|))
        (?:\s+\#.*|\s*)""",
    re.VERBOSE | re.ASCII,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True)
class Environment:
    """Variables by name; the real ones win over those of the file. An empty one is as good as none."""

    real: Mapping[str, str]
    dotenv: Mapping[str, str]

    def get(self, name: str) -> str | None:
        return self.real.get(name) or self.dotenv.get(name) or None

    def has(self, name: str) -> bool:
        """Whether it is set at all, be it to nothing."""
        return name in self.real or name in self.dotenv

    def secret(self, name: str) -> str | None:
        """`name`, or what is in the file that `name`_FILE names. Raises ConfigError when that cannot be read."""
        for variables in (self.real, self.dotenv):
            if value := variables.get(name):
                return value
            if place := variables.get(f"{name}_FILE"):
                return read_secret(place)
        return None


def read_secret(place: str) -> str:
    """The content of a secret's file, without the line end it closes with."""
    text = read_text(Path(place), MAX_SECRET_BYTES).rstrip("\r\n")
    if not text:
        raise ConfigError(f"{place}: is empty")
    return text


def read_dotenv(path: Path) -> tuple[dict[str, str], list[str]]:
    """The variables of a `.env` file, and a warning for each line that is none. A missing file has none.

    A line is `NAME=value`, `NAME="value"` (with \\n, \\", \\\\) or `NAME='value'`, with or without `export`.
    """
    if not path.exists():
        return {}, []
    try:
        text = read_text(path)
    except ConfigError as error:
        return {}, [f"{error.message}; its variables are left out"]
    variables: dict[str, str] = {}
    warnings: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            warnings.append(f"{path}:{number}: not of the form NAME=value; the line is left out")
            continue
        quoted = match["quoted"]
        value = (
            re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted)
            if quoted is not None
            else match["literal"]
            if match["literal"] is not None
            else match["plain"]
        )
        variables[match["name"]] = value
    return variables, warnings

"""Reads a configuration: flags over environment over file over defaults.

All problems are told at once; a configuration is used whole or not at all.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from moorage.config.aliases import Alias, alias_layer, alias_warnings
from moorage.config.document import Document
from moorage.config.environment import Environment, read_dotenv
from moorage.config.foreign.converted import Converted
from moorage.config.foreign.formats import NATIVE, Format, detect
from moorage.config.foreign.sources import anchor
from moorage.config.foreign.vllm_flags import advice
from moorage.config.interpolation import interpolate
from moorage.config.options import ENVIRONMENT_PREFIX, Option, Path, dotted, options
from moorage.config.places import default_cache_dir, default_state_dir
from moorage.config.plain import at, is_list, is_section, kind, leaves, put, without_nothing
from moorage.config.problems import Known, describe, real_path
from moorage.config.reading import read_document
from moorage.config.tree import Config, one_spelling, whole_section
from moorage.errors import ConfigError

DEFAULT_FILE = "moorage.yaml"
FILE_VARIABLE = "MOORAGE_CONFIG"
KEY_VARIABLE = "MOORAGE_API_KEY"
OTHER_VARIABLES = frozenset({FILE_VARIABLE, KEY_VARIABLE, f"{KEY_VARIABLE}_FILE"})
"""Variables with our prefix that set no single option."""

_MOST_TOLD = 50
_KUBERNETES = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)$")
_KUBERNETES_VALUE = re.compile(r"(tcp|udp|sctp)://")


@dataclass(frozen=True)
class Loaded:
    """A whole configuration and where it came from."""

    config: Config
    path: FilePath | None
    """The file, if there was one."""
    warnings: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    """Where each value that is no default was said: `moorage.yaml:3`, `MOORAGE_SERVER_PORT`, `command line`."""
    notices: tuple[str, ...] = ()
    """What a user should know though nothing is wrong: a foreign format, a variable of another program in use."""
    format: Format = NATIVE
    """What the file was read as."""
    converted: Converted | None = None
    """What became of the file's keys."""
    said: Any = None
    """What the file says, as a moorage.yaml would: variables not filled in."""
    hidden: frozenset[str] = frozenset()
    """Values that came from a secret's file, by option: not to be shown wherever they stand."""


@cache
def known_options() -> Known:
    return Known(options(Config))


@cache
def environment_options() -> dict[str, Option]:
    """Each environment variable that sets an option."""
    return {option.environment: option for option in options(Config) if option.environment}


def find_file(environ: Mapping[str, str]) -> FilePath | None:
    """The file to read when none is named: the one MOORAGE_CONFIG names, else ./moorage.yaml, else none."""
    if environ.get(FILE_VARIABLE):
        named = FilePath(environ[FILE_VARIABLE])
        if not os.path.lexists(named):
            raise ConfigError(f"{FILE_VARIABLE}: {named}: there is no such file")
        return named
    here = FilePath(DEFAULT_FILE)
    return here if os.path.lexists(here) else None


def load(
    path: FilePath | str | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """The configuration. `flags` are values by option, `{"server.port": 8001}`; None is a flag not given.

    Raises ConfigError that lists everything wrong; nothing of a configuration with a problem is used.
    """
    real = dict(os.environ if environ is None else environ)
    file = FilePath(path) if path is not None else find_file(real)
    return _Loading(file, real, flags or {}).finish()


class _Loading:
    """One configuration on its way from texts to a tree."""

    def __init__(self, file: FilePath | None, real: Mapping[str, str], flags: Mapping[str, Any]) -> None:
        self._file = file
        self._flags = {_flag_path(name, value): value for name, value in flags.items() if value is not None}
        self._known = known_options()
        self._problems: list[tuple[int, str]] = []
        self._unfilled: set[Path] = set()
        """Values whose variables could not be filled in: told once, not validated into a second problem."""
        self._document = read_document(file) if file is not None else Document(None, {})
        self._format = detect(self._document.data, file.suffix) if file is not None else NATIVE
        self._converted = self._format.convert(self._document.data)
        if self._format.foreign and file is not None:
            anchor(self._converted.tree, file.parent)
        dotenv, found = read_dotenv(file.parent / ".env") if file is not None else ({}, [])
        self._warnings = list(found)
        self._environment = Environment(real, dotenv)
        self._overlays: dict[Path, tuple[str, Any]] = {}
        """What environment and flags say: path → where it is said, and what."""
        self._hidden: set[str] = set()
        self._read_notes()

    def finish(self) -> Loaded:
        data = self._file_layer()
        aliases = alias_layer(self._environment, data, whole_models=("models", "local") in self._flags)
        for path, source, value in (
            *((found.path, found.name, found.value) for found in aliases),
            *self._environment_layer(),
            *((p, "command line", v) for p, v in self._flags.items()),
        ):
            self._overlays[path] = (source, value)
            put(data, path, value)
        self._add_key(data)
        config = self._validated(data)
        if config is None or self._problems:
            raise ConfigError(_listed([problem for _, problem in sorted(dict.fromkeys(self._problems), key=_line)]))
        if config.logging.file_path is not None and config.logging.output != "file":
            self._warnings.append("logging.file_path counts only when logging.output is file")
        return Loaded(
            config=config,
            path=self._file,
            warnings=(*self._warnings, *alias_warnings(self._environment, aliases)),
            sources={dotted(path): self._source(path) for path in leaves(data)},
            notices=tuple(self._noticed(aliases)),
            format=self._format,
            converted=self._converted,
            said=self._converted.tree if self._format.foreign else self._document.data,
            hidden=frozenset(self._hidden),
        )

    def _read_notes(self) -> None:
        """What has no effect is a warning, what cannot be is a problem."""
        alike: dict[str, list[Path]] = {}
        for note in self._converted.told("warned"):
            alike.setdefault(note.why, []).append(note.key)
        for why, keys in alike.items():
            names = ", ".join(dotted(key) for key in keys)
            self._warnings.append(f"{self._where(keys[0])}: {names}: {why}")
        for note in self._converted.told("refused"):
            name = dotted(note.key)
            text = f"{name}: {note.why}" if name else note.why
            self._problems.append((self._document.place(note.key)[0], f"{self._where(note.key)}: {text}"))

    def _noticed(self, aliases: list[Alias]) -> Iterator[str]:
        if self._format.foreign:
            yield f"{self._file} is read as {self._format.title}; `moorage config import` writes it as a moorage.yaml"
        for alias in aliases:
            if self._overlays.get(alias.path, ("",))[0] == alias.name:
                yield alias.notice

    # Layers

    def _file_layer(self) -> dict[str, Any]:
        """What the file says, variables filled in, shorthands spelled out, empty values left out."""
        data = self._filled(self._converted.tree, ())
        if data is None:
            return {}
        if not is_section(data):
            sections = ", ".join(self._known.below(()))
            raise ConfigError(f"{self._file}: holds {kind(data)} at its top; it should hold sections: {sections}")
        layer = without_nothing(data)
        if "models" in layer:
            layer["models"] = whole_section(layer["models"])
        try:
            layer["server"] = one_spelling(layer.get("server", {}))
        except ValueError as error:
            self._problem(("server", "http"), str(error))
            layer["server"].pop("http")
        return layer

    def _filled(self, value: Any, path: Path) -> Any:
        if is_section(value):
            return {key: self._filled(item, (*path, key)) for key, item in value.items()}
        if is_list(value):
            return [self._filled(item, (*path, position)) for position, item in enumerate(value)]
        if not isinstance(value, str) or "$" not in value:
            return value
        result = interpolate(value, self._environment, secret=self._known.secret(self._in_tree(path)))
        for problem in result.problems:
            self._problem(path, f"{self._known.name(self._in_tree(path))}: {problem}")
            self._unfilled.add(self._in_document(self._in_tree(path)))
        if result.from_file:
            self._hidden.add(dotted(self._in_tree(path)))
        return result.text

    def _environment_layer(self) -> Iterator[tuple[Path, str, Any]]:
        known = environment_options()
        for name in sorted({*self._environment.real, *self._environment.dotenv}):
            value = self._environment.get(name)
            if not name.startswith(ENVIRONMENT_PREFIX) or value is None:
                continue
            if option := known.get(name):
                if _KUBERNETES_VALUE.match(value):
                    self._warnings.append(f"{name} looks like what Kubernetes sets for a service; it is left out")
                else:
                    yield option.path, name, value
            elif name not in OTHER_VARIABLES and not _KUBERNETES.search(name):
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
                self._warnings += [f"{name} sets nothing; did you mean {near[0]}?"] if near else []

    def _add_key(self, data: dict[str, Any]) -> None:
        """MOORAGE_API_KEY is one more key beside those of the file."""
        try:
            key = self._environment.secret(KEY_VARIABLE)
        except ConfigError as error:
            self._problem((), f"{KEY_VARIABLE}_FILE: {error.message}")
            return
        if key is None:
            return
        auth = data.setdefault("auth", {})
        keys = auth.setdefault("keys", []) if is_section(auth) else None
        if is_list(keys) and not any(item == key or at(item, ("key",)) == key for item in keys):
            self._overlays["auth", "keys", len(keys)] = (KEY_VARIABLE, key)
            auth["keys"] = [*keys, {"name": "environment", "key": key}]

    # The tree

    def _validated(self, data: dict[str, Any]) -> Config | None:
        try:
            config = Config.model_validate(data)
        except ValidationError as error:
            several: set[Path] = set()
            for detail in error.errors(include_url=False):
                path = real_path(detail["loc"], data, missing=detail["type"] == "missing")
                if path in several or self._in_document(path) in self._unfilled:
                    continue
                if detail["type"] == "missing" and self._format.foreign and self._problems:
                    continue  # told in the words of the file already
                if len(detail["loc"]) > len(path):
                    several.add(path)
                message = describe(detail, path, self._written(path), self._known)
                if detail["type"] == "extra_forbidden" and (meant := advice(str(path[-1]))):
                    message = f"{self._known.name(path)}: unknown option; {meant}"
                self._problem(path, message)
            return None
        try:
            return config.model_copy(
                update={
                    "cache_dir": config.cache_dir or default_cache_dir(self._environment.real),
                    "state_dir": config.state_dir or default_state_dir(self._environment.real),
                }
            )
        except ConfigError as error:
            self._problem((), error.message)
            return None

    # Where things are said

    def _in_tree(self, path: Path) -> Path:
        """The path in the tree of a value that the file, or what it was converted to, has at `path`."""
        if self._format.foreign:
            return path
        if path[:1] == ("models",) and is_list(at(self._document.data, ("models",))):
            return ("models", "local", *path[1:])
        return path

    def _in_document(self, path: Path) -> Path:
        """The path of a value as the file has it, before shorthands were spelled out."""
        if self._format.foreign:
            return self._converted.origin(path)
        if path[:2] == ("models", "local") and is_list(at(self._document.data, ("models",))):
            return ("models", *path[2:])
        second = ("server", "http", *path[1:])
        if path[:1] == ("server",) and path not in self._document.places and second in self._document.places:
            return second
        return path

    def _overlay(self, path: Path) -> tuple[str, Any] | None:
        return next((self._overlays[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self._overlays), None)

    def _source(self, path: Path) -> str:
        if overlay := self._overlay(path):
            return overlay[0]
        return self._where(self._in_document(path))

    def _where(self, key: Path) -> str:
        return f"{self._file}:{self._document.place(key)[0]}"

    def _problem(self, path: Path, message: str) -> None:
        """Note what is wrong at `path`, with where that is said."""
        overlay = self._overlay(path)
        line = 0 if overlay else self._document.place(self._in_document(path))[0]
        said = path and (overlay or self._file is not None)
        if self._format.foreign and not overlay:
            message = self._converted.reworded(message)
            message = message if said else f"{self._file}: {message}"
        self._problems.append((line, f"{self._source(path)}: {message}" if said else message))

    def _written(self, path: Path) -> Any:
        if path in self._overlays:
            return self._overlays[path][1]
        return at(self._converted.tree, path if self._format.foreign else self._in_document(path))


def _flag_path(name: str, value: Any) -> Path:
    """Where a flag's value goes; a list for `models` is the shorthand it is in the file."""
    return ("models", "local") if name == "models" and is_list(value) else tuple(name.split("."))


def _line(problem: tuple[int, str]) -> int:
    return problem[0]


def _listed(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    lines = [f"{len(problems)} problems in the configuration:", *(f"  {problem}" for problem in problems[:_MOST_TOLD])]
    return "\n".join([*lines, *([f"  and {len(problems) - _MOST_TOLD} more"] if len(problems) > _MOST_TOLD else [])])

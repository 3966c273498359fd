"""The command line of an engine that is a program: neutral options become its flags, each checked before the start."""

import difflib
from collections.abc import Mapping
from pathlib import Path

from moorage.config.model import ModelSpec
from moorage.errors import EngineError
from moorage.wire.control import Installation

Value = str | int | float


class Arguments:
    """Collects flags for one installed engine. Raises EngineError for a flag that this version does not have."""

    def __init__(self, spec: ModelSpec, installation: Installation, gone: Mapping[str, str]) -> None:
        """`gone`: flag → what to say of one that no longer exists or never did, with its successor."""
        self._spec = spec
        self._installation = installation
        self._gone = gone
        self._words: list[str] = []

    def add(self, flag: str, *values: Value | None, of: str) -> None:
        """A flag with its values; one None among them leaves it out. `of` is the option it comes from."""
        if None in values:
            return
        self._check(flag, of)
        self._words += [flag, *map(str, values)]

    def add_if(self, condition: bool, flag: str, *values: Value, of: str) -> None:
        if condition:
            self.add(flag, *values, of=of)

    def has(self, *flags: str) -> str | None:
        """The first of these flags that the installed engine knows; the first where it could not be asked."""
        known = self._installation.flags
        if known is None:
            return flags[0]
        return next((flag for flag in flags if flag in known), None)

    def knows(self, flag: str) -> bool:
        """Whether the installed engine is known to have it."""
        return self._installation.flags is not None and flag in self._installation.flags

    def word(self, word: str) -> None:
        """A word that is no flag, such as the name of a subcommand."""
        self._words.append(word)

    def extra(self) -> None:
        """What options.extra_args says: `{"max-num-seqs": 4, "enforce-eager": true, "lora-modules": ["a=b"]}`."""
        for name, value in self._spec.options.extra_args.items():
            flag = name if name.startswith("-") else f"--{name}"
            if value is False:
                continue
            self._check(flag, f"extra_args.{name}")
            self._words.append(flag)
            if value is not True:
                self._words += [str(item) for item in (value if isinstance(value, list) else [value])]

    def words(self) -> tuple[str, ...]:
        return tuple(self._words)

    def _check(self, flag: str, option: str) -> None:
        installed, known = self._installation, self._installation.flags
        said = f"model {self._spec.name!r}: options.{option}"
        if known is not None and flag in known:
            return
        if flag in self._gone:
            raise EngineError(f"{said}: {installed.engine} {installed.version} has no {flag}: {self._gone[flag]}")
        if known is not None:
            near = difflib.get_close_matches(flag, known, n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else f"{Path(installed.command[0]).name} --help lists what it has"
            raise EngineError(f"{said}: {installed.engine} {installed.version} has no flag {flag}; {hint}")

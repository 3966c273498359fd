"""No secret leaves in a finding: passwords in addresses, keys and tokens of the environment and the configuration."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from moorage.core.text import harmless
from moorage.serve.doctor.findings import Finding

MASK = "***"
SHORTEST = 6
"""Shorter values are words that may stand anywhere."""

_CREDENTIALS = re.compile(r"(?<=://)[^/\s\"']*@")
_SECRET_NAME = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASS|CREDENTIALS?)$", re.IGNORECASE)


def masked(text: str) -> str:
    """Without users and passwords of addresses: `http://ann:pw@proxy:3128` is `http://***@proxy:3128`."""
    return _CREDENTIALS.sub(f"{MASK}@", text)


class Scrubber:
    """Knows what must not be shown: values of variables with telling names, keys of the configuration."""

    def __init__(self, environ: Mapping[str, str], keys: Iterable[str] = ()) -> None:
        named = (value.strip() for name, value in environ.items() if _SECRET_NAME.search(name))
        known = {value for value in (*named, *keys) if len(value) >= SHORTEST and not _is_place(value)}
        self._secrets = sorted(known, key=len, reverse=True)

    def clean(self, finding: Finding) -> Finding:
        """The finding without secrets and without what a terminal would obey."""
        return dataclasses.replace(
            finding,
            what=self._text(finding.what),
            detail=self._text(finding.detail),
            fix=self._text(finding.fix),
            subject=self._text(finding.subject),
            facts=self._value(finding.facts),
        )

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return harmless(masked(text))

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {self._text(str(key)): self._value(item) for key, item in cast("Mapping[Any, Any]", value).items()}
        if isinstance(value, (list, tuple)):
            return [self._value(item) for item in cast("list[Any]", value)]
        return value


def _is_place(value: str) -> bool:
    """SSH_AUTH_KEY=/home/…: a path is no secret, and stands in many findings."""
    return value.startswith(("/", "~"))

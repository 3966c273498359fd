"""The folders used when the configuration names none."""

import os
from collections.abc import Mapping
from pathlib import Path

from moorage.errors import ConfigError


def default_state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """MOORAGE_STATE_DIR, $XDG_STATE_HOME/moorage or ~/.local/state/moorage."""
    return _place("state_dir", "MOORAGE_STATE_DIR", "XDG_STATE_HOME", ".local/state", environ)


def default_cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """MOORAGE_CACHE_DIR, $XDG_CACHE_HOME/moorage or ~/.cache/moorage."""
    return _place("cache_dir", "MOORAGE_CACHE_DIR", "XDG_CACHE_HOME", ".cache", environ)


def _place(option: str, own: str, xdg: str, below_home: str, environ: Mapping[str, str] | None) -> Path:
    environ = os.environ if environ is None else environ
    if environ.get(own):
        return Path(environ[own]).expanduser().absolute()
    # The XDG specification: a relative path is invalid and ignored.
    if os.path.isabs(environ.get(xdg, "")):
        return Path(environ[xdg]) / "moorage"
    home = environ.get("HOME", "")
    if not os.path.isabs(home):
        raise ConfigError(f"this user has no home folder (HOME is {home!r}): set {option} or {own}")
    return Path(home) / below_home / "moorage"

"""This machine with all it has for models: cores, memory, accelerators, and the engines that are programs."""

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from moorage.environments.discovery import LIMIT_S, Finder
from moorage.wire.control import Machine
from moorage.worker.machine import machine


def equipped(
    cache_dir: Path, environ: Mapping[str, str], *, limit_s: float = LIMIT_S, remember: bool = True
) -> Machine:
    """As a worker on it would see it. Blocks as `Finder` does."""
    finder = Finder(cache_dir, environ, limit_s=limit_s, remember=remember)
    return replace(machine(), installations=finder.installations())

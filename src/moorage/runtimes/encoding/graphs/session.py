"""What a library that computes graphs gives the rest: a loaded graph, and a way to end its run."""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from moorage.runtimes.encoding.graphs.ports import Outputs
from moorage.runtimes.encoding.port import Item


class Stopped(Exception):
    """A run that was told to end."""


class Stop:
    """Ends the run it is given to, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end: Callable[[], object] | None = None
        self.is_set = False

    def set(self) -> None:
        with self._lock:
            self.is_set = True
            if self._end is not None:
                self._end()

    @contextmanager
    def ending(self, end: Callable[[], object]) -> Generator[None]:
        """While it lasts, `set` calls `end`: quick, and harmless to a run that has not begun. Raises Stopped at once
        where it was set before."""
        with self._lock:
            if self.is_set:
                raise Stopped
            self._end = end
        try:
            yield
        finally:
            with self._lock:
                self._end = None


class Session(Protocol):
    """A loaded graph. `run` is called from one thread at a time."""

    @property
    def outputs(self) -> Outputs: ...

    @property
    def vocabulary(self) -> int | None:
        """Tokens it has vectors for, of a library that does not fail at others; else None."""
        ...

    def run(self, items: Sequence[Item], output: str, stop: Stop) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The output, with its rows in the order of the items, and the mask: 1 for a token. The caller may keep both.

        Raises InternalError, or Stopped.
        """
        ...

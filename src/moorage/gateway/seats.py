"""How many calls the gateways of this machine have at each engine: one shared page, a row for each process.

Every process writes its own row alone and reads all of them, so there is no lock that a stopped process could hold.
"""

import mmap
import os

from moorage.wire.table import TargetRow

COLUMNS = 4096
"""Targets told apart. The controller numbers them; beyond that two share a column, which costs seats, not safety."""
_CELL_BYTES = 2


class Seats:
    """An engine's capacity and one more: the one in excess hides the way between two calls. Any more would queue inside
    the engine, where nobody can reorder or cancel them."""

    def __init__(self, index: int, processes: int, path: str | None = None) -> None:
        """`path` is the shared page; without it (one process) the page is private."""
        size = COLUMNS * _CELL_BYTES * processes
        if path is None:
            page = mmap.mmap(-1, size)
        else:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(descriptor, size)
                page = mmap.mmap(descriptor, size)
            finally:
                os.close(descriptor)
        cells = memoryview(page).cast("H")
        self._rows = [cells[n * COLUMNS : (n + 1) * COLUMNS] for n in range(processes)]
        self._mine = self._rows[index]
        for column in range(COLUMNS):
            # What the process before this one held at its end.
            self._mine[column] = 0
        self.shared = processes > 1

    def in_use(self, target: TargetRow) -> int:
        column = target.seat % COLUMNS
        return sum(row[column] for row in self._rows)

    def load(self, target: TargetRow) -> float:
        """Share of the seats taken: 1 is full."""
        return self.in_use(target) / (max(1, target.capacity) + 1)

    def take(self, target: TargetRow) -> bool:
        """Take a seat if there is one. Taken first and then counted: of two processes that want the last seat at the
        same moment both may be refused, but never both be seated."""
        column = target.seat % COLUMNS
        self._mine[column] += 1
        if self.in_use(target) <= max(1, target.capacity) + 1:
            return True
        self._mine[column] -= 1
        return False

    def give_back(self, target: TargetRow) -> None:
        self._mine[target.seat % COLUMNS] -= 1

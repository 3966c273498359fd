"""Texts that wait to be computed, and which of them go together next.

The oldest goes always; what is most like it in length goes along, as much as fits a step with its padding.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from dataclasses import dataclass

from moorage.runtimes.encoding.port import Item, Kind

LIKE = 1.5
SLACK = 8
"""The longest text of a step has no more than LIKE times the tokens of its shortest, and SLACK: little is padded."""


@dataclass(eq=False, slots=True)
class Waiting:
    """One text of a call."""

    call: object
    index: int
    """Its place in the call."""
    kind: Kind
    item: Item

    @property
    def length(self) -> int:
        return len(self.item.ids)


class Queue:
    """Not for several threads at once."""

    def __init__(self) -> None:
        self._by_age: OrderedDict[int, Waiting] = OrderedDict()
        self._by_length: dict[Kind, list[tuple[int, int]]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._by_age)

    def add(self, entry: Waiting) -> int:
        """Returns the number by which it can be removed."""
        number = self._next
        self._next += 1
        self._by_age[number] = entry
        insort(self._by_length.setdefault(entry.kind, []), (entry.length, number))
        return number

    def remove(self, number: int) -> None:
        """Nothing where it has gone already."""
        entry = self._by_age.pop(number, None)
        if entry is not None:
            alike = self._by_length[entry.kind]
            del alike[bisect_left(alike, (entry.length, number))]

    def take(self, tokens: int) -> list[Waiting]:
        """The next step: at least one text, else no more than `tokens` with padding. Empty where none waits."""
        if not self._by_age:
            return []
        number, oldest = next(iter(self._by_age.items()))
        alike = self._by_length[oldest.kind]
        begin, end = _alike(alike, bisect_left(alike, (oldest.length, number)), tokens)
        taken = [self._by_age.pop(number) for _, number in alike[begin:end]]
        del alike[begin:end]
        return taken


def _alike(lengths: list[tuple[int, int]], place: int, tokens: int) -> tuple[int, int]:
    """How far around `place` a step may reach in a list sorted by length: [begin, end)."""
    begin, end = place, place + 1
    shortest = longest = lengths[place][0]
    while True:
        count = end - begin
        shorter = lengths[begin - 1][0] if begin else 0
        longer = lengths[end][0] if end < len(lengths) else 0
        down = shorter > 0 and longest <= LIKE * shorter + SLACK and longest * (count + 1) <= tokens
        up = longer > 0 and longer <= LIKE * shortest + SLACK and longer * (count + 1) <= tokens
        if down and up:
            # Whichever costs less padding.
            up = (longer - longest) * count <= longest - shorter
        if up:
            longest, end = longer, end + 1
        elif down:
            shortest, begin = shorter, begin - 1
        else:
            return begin, end

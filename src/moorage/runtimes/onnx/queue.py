"""Texts that wait to be computed, and which of them go together next.

The oldest goes always; what is most like it in length goes along, as much as fits a step with its padding.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from dataclasses import dataclass

from moorage.runtimes.encoding.port import Item, Kind

LIKE = 1.5
"""A step has no more than so many times the tokens of its texts, padding included."""


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
    longest = real = lengths[place][0]
    while True:
        shorter = lengths[begin - 1][0] if begin else None
        longer = lengths[end][0] if end < len(lengths) else None
        if shorter is None and longer is None:
            return begin, end
        count = end - begin
        # Whichever side costs less padding.
        up = longer is not None and (shorter is None or (longer - longest) * count <= longest - shorter)
        added = longer if up else shorter
        assert added is not None
        new_longest = max(longest, added)
        padded = new_longest * (count + 1)
        if padded > tokens or padded > LIKE * (real + added):
            return begin, end
        longest, real = new_longest, real + added
        begin, end = (begin, end + 1) if up else (begin - 1, end)

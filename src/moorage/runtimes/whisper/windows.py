"""Sound cut into windows: what the model hears in one piece, at most half a minute, cut where it is silent.

Whisper hears 30 seconds at a time, and given a part without speech it makes words up ("You", "Thank you"). So the
windows begin and end with speech, and what lies between them is never heard.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from moorage.runtimes.whisper.audio import SAMPLE_RATE, Samples

WINDOW_SAMPLES = 30 * SAMPLE_RATE
GAP_SAMPLES = 2 * SAMPLE_RATE
"""A longer silence is left out; a shorter one is heard with the speech around it."""
BLOCK_SAMPLES = 2 * WINDOW_SAMPLES
"""Looked through for speech at once."""
TAIL_SAMPLES = SAMPLE_RATE
"""At the end of a block, speech may just begin."""

Stretch = tuple[int, int]
"""First sample and the one behind the last."""
Find = Callable[[Samples], list[Stretch]]
"""The stretches worth hearing, in order, apart from each other, none longer than a window."""


@dataclass(frozen=True)
class Window:
    start: int
    """Of the recording's samples."""
    samples: Samples


def windows(pieces: Iterable[Samples], find: Find) -> Iterator[Window]:
    """The windows of a recording that comes in pieces; one block of it is held at a time."""
    parts: list[Samples] = []
    begin = held = 0
    for piece in pieces:
        parts.append(piece)
        held += len(piece)
        if held < BLOCK_SAMPLES:
            continue
        block = np.concatenate(parts)
        found = _joined(find(block))
        last = len(found) - 1
        kept_from = len(block) - TAIL_SAMPLES
        for index, (start, end) in enumerate(found):
            if index == last and end + GAP_SAMPLES > len(block):
                # What follows may belong to it.
                kept_from = start
                break
            yield Window(begin + start, block[start:end])
            kept_from = max(kept_from, end)
        parts, held = [block[kept_from:]], len(block) - kept_from
        begin += kept_from
    if held:
        block = np.concatenate(parts)
        for start, end in _joined(find(block)):
            yield Window(begin + start, block[start:end])


def _joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Neighbours in one window, as long as it holds them and the silence between them is short."""
    found: list[Stretch] = []
    for start, end in stretches:
        if found and end - found[-1][0] <= WINDOW_SAMPLES and start - found[-1][1] <= GAP_SAMPLES:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


QUIET_SAMPLES = SAMPLE_RATE // 5


def everything(block: Samples) -> list[Stretch]:
    """A `Find` that leaves nothing out: cut at the quietest moment in the last third of each window."""
    found: list[Stretch] = []
    start = 0
    while len(block) - start > WINDOW_SAMPLES:
        first = start + WINDOW_SAMPLES * 2 // 3
        late = block[first : start + WINDOW_SAMPLES]
        steps = late[: len(late) // QUIET_SAMPLES * QUIET_SAMPLES].reshape(-1, QUIET_SAMPLES)
        end = first + int(np.argmin(np.square(steps).mean(axis=1))) * QUIET_SAMPLES + QUIET_SAMPLES // 2
        found.append((start, end))
        start = end
    if start < len(block):
        found.append((start, len(block)))
    return found

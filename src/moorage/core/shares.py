"""How models that compute on the same accelerators may divide their memory. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moorage.core.devices import key
from moorage.wire.control import Device

USABLE = 0.95
"""Of a card's memory; the rest is the driver's and other programs'."""
STEPS = 100
"""Shares are given in hundredths."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What one replica of a model wants of each of some cards."""

    replica: str
    count: int
    least_bytes: int
    """Without so much it does not start."""
    wanted_bytes: int
    """What it would use if it had it; more is given where there is more."""
    devices: tuple[Device, ...] = ()
    """Those it insists on; empty for any of one kind."""


@dataclass(frozen=True, kw_only=True)
class Portion:
    share: float
    """Of each card's memory."""
    devices: tuple[Device, ...]


def divide(devices: Sequence[Device], claims: Sequence[Claim]) -> Mapping[str, Portion] | None:
    """Shares by replica that fit: each its least, and of what is left in proportion to what it wants beyond.

    None where even the least do not fit. Cards are given to the largest first, each where most is left.
    """
    placed = _placed(devices, claims)
    if placed is None:
        return None
    first = {
        claim.replica: max(math.ceil(claim.least_bytes / d.memory_bytes * STEPS) or 1 for d in placed[claim.replica])
        for claim in claims
    }
    steps: dict[str, int] = {}
    for device in devices:
        here = [claim for claim in claims if device in placed[claim.replica]]
        free = math.floor(USABLE * STEPS) - sum(first[claim.replica] for claim in here)
        if free < 0:
            return None
        beyond = sum(_beyond(claim) for claim in here)
        for claim in here:
            more = first[claim.replica] + math.floor(free * _beyond(claim) / beyond)
            steps[claim.replica] = min(more, steps.get(claim.replica, STEPS))
    return {name: Portion(share=count / STEPS, devices=placed[name]) for name, count in steps.items()}


def _beyond(claim: Claim) -> int:
    return max(1, claim.wanted_bytes - claim.least_bytes)


def _placed(devices: Sequence[Device], claims: Sequence[Claim]) -> dict[str, tuple[Device, ...]] | None:
    room = {key(device): device.memory_bytes * USABLE for device in devices}
    placed: dict[str, tuple[Device, ...]] = {}
    # Those that insist come first; then the large ones, for which there are the fewest places.
    for claim in sorted(claims, key=lambda claim: (not claim.devices, -claim.least_bytes * claim.count)):
        chosen = claim.devices or _roomiest(devices, room, claim.count)
        if not chosen:
            return None
        for device in chosen:
            room[key(device)] -= claim.least_bytes
            if room[key(device)] < 0:
                return None
        placed[claim.replica] = chosen
    return placed


def _roomiest(devices: Sequence[Device], room: Mapping[str, float], count: int) -> tuple[Device, ...]:
    """So many cards of one kind with the most room left on the fullest of them."""
    kinds = {device.name for device in devices}
    groups = [sorted((d for d in devices if d.name == kind), key=lambda d: -room[key(d)])[:count] for kind in kinds]
    able = [group for group in groups if len(group) == count]
    if not able:
        return ()
    best = max(able, key=lambda group: (room[key(group[-1])], -group[0].index))
    return tuple(sorted(best, key=lambda device: device.index))

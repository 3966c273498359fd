"""Which accelerators a replica gets. Pure: what there is and what is held come in, a choice or a refusal comes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from moorage.config.model import ModelSpec
from moorage.errors import EngineError
from moorage.wire.control import Device

SLICE = "MIG-"
ROUNDING = 1e-6
TAKEN = "devices_taken"
"""Code of the refusal that ends by itself, when another replica goes."""


@dataclass(frozen=True, kw_only=True)
class Hold:
    """What one replica has: a share of the memory of each of some devices."""

    model: str
    devices: tuple[Device, ...]
    share: float


@dataclass(frozen=True, kw_only=True)
class Wish:
    model: str
    count: int
    """Devices that one replica computes on together."""
    share: float | None = None
    """Of each device's memory; None wants them for itself."""
    named: tuple[str, ...] | None = None
    """Indices or UUIDs; None leaves the choice to us."""


def wish_of(spec: ModelSpec) -> Wish:
    """What a replica of a model asks of the accelerators."""
    options = spec.options
    count = options.tensor_parallel * options.pipeline_parallel * options.data_parallel
    return Wish(model=spec.name, count=count, share=options.memory_fraction, named=options.devices)


def key(device: Device) -> str:
    return device.uuid or f"{device.kind}:{device.index}"


def visible(devices: Sequence[Device], setting: str | None) -> tuple[Device, ...]:
    """Those that CUDA_VISIBLE_DEVICES leaves, in its order. As in CUDA, what follows an unknown entry is lost."""
    if setting is None:
        return tuple(devices)
    found: list[Device] = []
    for name in filter(None, map(str.strip, setting.split(","))):
        named = _named(devices, name)
        if not named:
            break
        found += [device for device in named if device not in found]
    return tuple(found)


def grant(devices: Sequence[Device], holds: Mapping[str, Hold], wish: Wish) -> Hold:
    """The devices for a replica. Raises EngineError with who holds what, and what would help."""
    share = 1.0 if wish.share is None else wish.share
    used = {key(device): sum(hold.share for hold in holds.values() if device in hold.devices) for device in devices}
    free = {name: 1.0 - amount for name, amount in used.items()}
    if wish.named is not None:
        chosen = _by_name(devices, wish)
        taken = [device for device in chosen if free[key(device)] + ROUNDING < share]
        if taken:
            raise EngineError(_refusal(wish, share, taken, holds), code=TAKEN)
    else:
        chosen = _freest(devices, free, wish.count, share)
        if not chosen:
            raise EngineError(_refusal(wish, share, devices, holds), code=TAKEN)
    if len(chosen) > 1 and any(device.uuid.startswith(SLICE) for device in chosen):
        raise EngineError(
            f"model {wish.model!r} wants {wish.count} devices, but slices of a card (MIG) cannot compute together: set "
            "tensor_parallel, pipeline_parallel and data_parallel to 1, or undo the partition"
        )
    return Hold(model=wish.model, devices=chosen, share=share)


def environment(devices: Sequence[Device]) -> dict[str, str]:
    """What makes these devices, and no others, visible to an engine, counted as we count them.

    Whole cards by index, since some engines read numbers; slices have no other name than their UUID.
    """
    names = [device.uuid if device.uuid.startswith(SLICE) else str(device.index) for device in devices]
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(names)}


def _named(devices: Sequence[Device], name: str) -> list[Device]:
    """By index, or by UUID or the beginning of one. The index of a partitioned card names all its slices."""
    if name.isdigit():
        return [device for device in devices if device.index == int(name)]
    return [device for device in devices if device.uuid.startswith(name)][:1]


def _by_name(devices: Sequence[Device], wish: Wish) -> tuple[Device, ...]:
    chosen: list[Device] = []
    for name in wish.named or ():
        found = [device for device in _named(devices, name) if device not in chosen]
        if not found:
            there = ", ".join(f"{device.index} ({device.name})" for device in devices) or "none"
            raise EngineError(f"model {wish.model!r}: options.devices names {name!r}, and this machine has {there}")
        chosen += found[:1] if len(found) > 1 else found
    if len(chosen) != wish.count:
        raise EngineError(
            f"model {wish.model!r}: options.devices names {len(chosen)}, and tensor_parallel, pipeline_parallel and "
            f"data_parallel together make it {wish.count}"
        )
    return tuple(chosen)


def _freest(devices: Sequence[Device], free: Mapping[str, float], count: int, share: float) -> tuple[Device, ...]:
    """As many of one kind as are wanted, the least used first, and of equals the largest."""
    able = [device for device in devices if free[key(device)] + ROUNDING >= share]
    able.sort(key=lambda device: (-free[key(device)], -device.memory_bytes, device.index))
    kinds = sorted(able, key=lambda device: device.name)
    groups = [[device for device in able if device.name == name] for name, _ in groupby(kinds, lambda d: d.name)]
    fitting = [group[:count] for group in groups if len(group) >= count]
    if not fitting:
        return ()
    best = min(fitting, key=lambda group: able.index(group[0]))
    return tuple(sorted(best, key=lambda device: device.index))


def _refusal(wish: Wish, share: float, devices: Sequence[Device], holds: Mapping[str, Hold]) -> str:
    held = [
        f"{hold.model!r} holds {hold.share:.0%} of {', '.join(str(device.index) for device in hold.devices)}"
        for hold in holds.values()
        if any(device in devices for device in hold.devices)
    ]
    wanted = f"{wish.count} of one kind" if wish.count > 1 else "one"
    what = f"model {wish.model!r} wants {share:.0%} of {wanted}, and this machine has {len(devices)}"
    who = f"; {'; '.join(held)}" if held else ""
    fix = "set options.memory_fraction of models that share a device, or options.devices: [] for the processor"
    return f"{what}{who}: {fix}"

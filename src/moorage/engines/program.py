"""What the adapters of engines that are programs share: whether one is installed, and with what devices."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from moorage.config.model import ModelSpec
from moorage.core.ports import LaunchOrder, Support
from moorage.engines.choose import installed
from moorage.errors import EngineError
from moorage.wire.control import Device, Installation, Machine

CUDA = "cuda"


def absent(engine: str, how: str = "") -> Support:
    return Support(ok=False, why=f"it is not installed: {how or f'moorage engine install {engine}'}", absent=True)


def installation(order: LaunchOrder, engine: str) -> Installation:
    """What to start. Raises EngineError where it has gone since the engine was chosen."""
    found = installed(order.machine, engine)
    if found is None:
        raise EngineError(f"{engine} is not there any more: moorage engine list shows what is")
    return found


def cards(machine: Machine) -> tuple[Device, ...]:
    """NVIDIA's, of this machine."""
    return tuple(device for device in machine.devices if device.kind == CUDA)


def on_devices(machine: Machine, devices: Sequence[Device], share: float | None) -> Machine:
    """The machine as a model on these accelerators sees it: their memory is what there is."""
    if not devices:
        return machine
    return replace(machine, memory_bytes=int(sum(device.memory_bytes for device in devices) * (share or 1.0)))


def first(metrics: Mapping[str, float], *names: str) -> float | None:
    """The first of these metrics that was told: an engine's new name before its old ones. None is unknown."""
    return next((metrics[name] for name in names if name in metrics), None)


def total(metrics: Mapping[str, float], *names: str) -> float | None:
    """The sum of those that were told; None where none was."""
    told = [metrics[name] for name in names if name in metrics]
    return sum(told) if told else None


def share(used: float | None, of: float | None) -> float | None:
    return used / of if used is not None and of else None


def refuse(spec: ModelSpec, ours: Mapping[str, str], neutral: Mapping[str, str]) -> None:
    """Refuse what options.extra_args says that is not for a user to say, or that an option says already.

    `ours`: flag → why not; `neutral`: flag → the option that stands for it. Raises EngineError.
    """
    for name in spec.options.extra_args:
        flag = name if name.startswith("-") else f"--{name}"
        said = f"model {spec.name!r}: options.extra_args.{name}"
        if flag in ours:
            raise EngineError(f"{said} is not for you to set: {ours[flag]}")
        if flag in neutral:
            raise EngineError(f"{said} has a name that all engines share: set options.{neutral[flag]}")


def without_cards(engine: str) -> Support:
    return Support(ok=False, why=f"{engine} computes on NVIDIA's accelerators alone, and this machine has none")

"""The NVIDIA cards of this machine, as their driver's management library (NVML) tells."""

import importlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

import structlog

from moorage.wire.control import Device

MIG_ENABLED = 1
NAME_OF_A_SLICE = "{card} slice of {gib:.0f} GiB"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Nvml(Protocol):
    """What we call of the module `pynvml`. Every call may raise its NVMLError."""

    @property
    def NVMLError(self) -> type[Exception]: ...  # noqa: N802

    def nvmlInit(self) -> None: ...  # noqa: N802
    def nvmlShutdown(self) -> None: ...  # noqa: N802
    def nvmlSystemGetDriverVersion(self) -> str: ...  # noqa: N802
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...  # noqa: N802
    def nvmlDeviceGetName(self, handle: Any) -> str: ...  # noqa: N802
    def nvmlDeviceGetUUID(self, handle: Any) -> str: ...  # noqa: N802
    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...  # noqa: N802
    def nvmlDeviceGetCudaComputeCapability(self, handle: Any) -> tuple[int, int]: ...  # noqa: N802
    def nvmlDeviceGetMigMode(self, handle: Any) -> list[int]: ...  # noqa: N802
    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any) -> int: ...  # noqa: N802
    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int) -> Any: ...  # noqa: N802


def library() -> Nvml:
    return cast("Nvml", importlib.import_module("pynvml"))


def cards(nvml: Nvml) -> tuple[Device, ...]:
    """Every card by its index, and instead of a partitioned one its slices. Empty where there is no driver.

    A card that does not answer is left out with a warning: one that has fallen off the bus must not hide the others.
    """
    with _opened(nvml) as version:
        return () if version is None else tuple(_all(nvml, version))


@contextmanager
def _opened(nvml: Nvml) -> Generator[str | None]:
    """The driver's version, while the library is open; None where it cannot be opened."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        if "Library" not in type(error).__name__ and "Not Found" not in str(error):
            log.warning("the NVIDIA driver does not answer; its cards are not used", error=str(error))
        yield None
        return
    try:
        yield nvml.nvmlSystemGetDriverVersion()
    finally:
        nvml.nvmlShutdown()


def _all(nvml: Nvml, driver: str) -> Iterator[Device]:
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            yield from _card(nvml, index, driver)
        except nvml.NVMLError as error:
            log.warning("a card does not answer and is not used", index=index, error=str(error))


def _card(nvml: Nvml, index: int, driver: str) -> list[Device]:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    whole = Device(
        kind="cuda",
        index=index,
        name=nvml.nvmlDeviceGetName(handle),
        memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        uuid=nvml.nvmlDeviceGetUUID(handle),
        compute_capability=f"{major}.{minor}",
        driver=driver,
    )
    return _slices(nvml, handle, whole) if _partitioned(nvml, handle) else [whole]


def _partitioned(nvml: Nvml, handle: Any) -> bool:
    try:
        return nvml.nvmlDeviceGetMigMode(handle)[0] == MIG_ENABLED
    except nvml.NVMLError:  # most cards know no such thing
        return False


def _slices(nvml: Nvml, handle: Any, whole: Device) -> list[Device]:
    found: list[Device] = []
    for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
            memory_bytes = int(nvml.nvmlDeviceGetMemoryInfo(part).total)
            uuid = nvml.nvmlDeviceGetUUID(part)
        except nvml.NVMLError:  # a place where there is no slice now
            continue
        name = NAME_OF_A_SLICE.format(card=whole.name, gib=memory_bytes / 2**30)
        found.append(
            Device(
                kind=whole.kind,
                index=whole.index,
                name=name,
                memory_bytes=memory_bytes,
                uuid=uuid,
                compute_capability=whole.compute_capability,
                driver=whole.driver,
            )
        )
    if not found:
        log.warning("a card is set up for slices (MIG) and has none; it is not used", index=whole.index)
    return found

"""NVML's answers on machines we know, played back by its own function names."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from moorage.worker.nvml import cards, library

GIB = 2**30


class NVMLError(Exception):
    pass


class NVMLErrorLibraryNotFound(NVMLError):
    pass


@dataclass
class Card:
    name: str
    uuid: str
    memory_bytes: int
    capability: tuple[int, int] = (8, 0)
    mig: list[int] | None = None
    slices: dict[int, "Card"] = field(default_factory=dict[int, "Card"])
    lost: bool = False


class Recorded:
    """`worker.nvml.Nvml` of a machine with these cards."""

    NVMLError = NVMLError

    def __init__(self, *found: Card, fails: Exception | None = None) -> None:
        self._cards = found
        self._fails = fails
        self.open = 0

    def nvmlInit(self) -> None:
        if self._fails is not None:
            raise self._fails
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.82.07"

    def nvmlDeviceGetCount(self) -> int:
        return len(self._cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        if self._cards[index].lost:
            raise NVMLError("GPU is lost")
        return self._cards[index]

    def nvmlDeviceGetName(self, handle: Card) -> str:
        return handle.name

    def nvmlDeviceGetUUID(self, handle: Card) -> str:
        return handle.uuid

    def nvmlDeviceGetMemoryInfo(self, handle: Card) -> Any:
        return SimpleNamespace(total=handle.memory_bytes)

    def nvmlDeviceGetCudaComputeCapability(self, handle: Card) -> tuple[int, int]:
        return handle.capability

    def nvmlDeviceGetMigMode(self, handle: Card) -> list[int]:
        if handle.mig is None:
            raise NVMLError("Not Supported")
        return handle.mig

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Card) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Card, index: int) -> Card:
        if index not in handle.slices:
            raise NVMLError("Not Found")
        return handle.slices[index]


T4 = Card("Tesla T4", "GPU-55ea2c1e", 15360 * 2**20, (7, 5))
H200 = Card("NVIDIA H200", "GPU-8f1d9a40", 143771 * 2**20, (9, 0), mig=[0, 0])
A100 = Card(
    "NVIDIA A100-SXM4-80GB",
    "GPU-1bd0a7f2",
    81920 * 2**20,
    mig=[1, 1],
    slices={0: Card("", "MIG-7c0d", 40192 * 2**20), 2: Card("", "MIG-91aa", 19968 * 2**20)},
)


def test_several_cards() -> None:
    nvml = Recorded(H200, T4)
    found = cards(nvml)
    assert [(device.index, device.name, device.compute_capability) for device in found] == [
        (0, "NVIDIA H200", "9.0"),
        (1, "Tesla T4", "7.5"),
    ]
    assert found[0].memory_bytes == 143771 * 2**20
    assert {device.driver for device in found} == {"580.82.07"}
    assert nvml.open == 0


def test_a_partitioned_card_is_its_slices() -> None:
    found = cards(Recorded(T4, A100))
    assert [device.uuid for device in found] == ["GPU-55ea2c1e", "MIG-7c0d", "MIG-91aa"]
    assert [device.index for device in found] == [0, 1, 1]
    assert found[2].name == "NVIDIA A100-SXM4-80GB slice of 20 GiB"
    assert found[2].compute_capability == "8.0"


def test_a_card_without_its_slices_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    assert cards(Recorded(Card("A30", "GPU-1", 24 * GIB, mig=[1, 1]))) == ()


def test_a_lost_card_does_not_hide_the_others() -> None:
    found = cards(Recorded(T4, Card("Tesla T4", "GPU-2", GIB, lost=True), T4))
    assert [device.index for device in found] == [0, 2]


@pytest.mark.parametrize(
    "error", [NVMLErrorLibraryNotFound("NVML Shared Library Not Found"), NVMLError("Driver/library version mismatch")]
)
def test_no_driver(error: Exception) -> None:
    assert cards(Recorded(T4, fails=error)) == ()


def test_the_real_library_answers_or_is_not_there() -> None:
    assert all(device.memory_bytes > 0 for device in cards(library()))

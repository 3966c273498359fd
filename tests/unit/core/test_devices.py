import pytest

from moorage.core.devices import Hold, Wish, environment, grant, visible
from moorage.errors import EngineError
from moorage.wire.control import Device

GIB = 2**30


def card(index: int, name: str = "A100", gib: int = 80, uuid: str = "") -> Device:
    return Device(kind="cuda", index=index, name=name, memory_bytes=gib * GIB, uuid=uuid or f"GPU-{index}aa")


FOUR = tuple(card(index) for index in range(4))
SLICES = tuple(card(0, "A100 slice", 20, f"MIG-{letter}") for letter in "abc")


def held(*devices: Device, share: float = 1.0, model: str = "other") -> dict[str, Hold]:
    return {f"{model}-0": Hold(model=model, devices=devices, share=share)}


def test_the_freest_comes_first() -> None:
    assert grant(FOUR, {}, Wish(model="m", count=1)).devices == (FOUR[0],)
    assert grant(FOUR, held(FOUR[0]), Wish(model="m", count=1)).devices == (FOUR[1],)
    assert grant(FOUR, held(FOUR[0], FOUR[2]), Wish(model="m", count=2)).devices == (FOUR[1], FOUR[3])
    assert grant(FOUR[:1], held(FOUR[0], share=0.5), Wish(model="m", count=1, share=0.5)).share == 0.5


def test_three_shares_of_one_card() -> None:
    holds: dict[str, Hold] = {}
    for name, share in (("chat", 0.55), ("embedding", 0.15), ("rerank", 0.15), ("more", 0.15)):
        holds[name] = grant(FOUR[:1], holds, Wish(model=name, count=1, share=share))
    with pytest.raises(EngineError, match=r"'one' wants 10% of one.*'chat' holds 55% of 0; .*memory_fraction"):
        grant(FOUR[:1], holds, Wish(model="one", count=1, share=0.1))


def test_a_group_is_of_one_kind() -> None:
    mixed = (card(0, "T4", 16), card(1, "A100"), card(2, "T4", 16), card(3, "A100"))
    assert grant(mixed, {}, Wish(model="m", count=2)).devices == (mixed[1], mixed[3])
    assert grant(mixed, held(mixed[1]), Wish(model="m", count=2)).devices == (mixed[0], mixed[2])
    with pytest.raises(EngineError, match="wants 100% of 3 of one kind, and this machine has 4"):
        grant(mixed, {}, Wish(model="m", count=3))


def test_named_devices() -> None:
    assert grant(FOUR, {}, Wish(model="m", count=2, named=("3", "GPU-1"))).devices == (FOUR[3], FOUR[1])
    with pytest.raises(EngineError, match=r"options\.devices names '7', and this machine has 0 \(A100\), 1 \(A100\)"):
        grant(FOUR[:2], {}, Wish(model="m", count=1, named=("7",)))
    with pytest.raises(EngineError, match=r"names 2, and tensor_parallel, .* make it 1"):
        grant(FOUR, {}, Wish(model="m", count=1, named=("0", "1")))
    with pytest.raises(EngineError, match="'other' holds 100% of 0"):
        grant(FOUR, held(FOUR[0]), Wish(model="m", count=1, named=("0",)))
    with pytest.raises(EngineError, match="this machine has none"):
        grant((), {}, Wish(model="m", count=1, named=("0",)))


def test_slices_stand_alone() -> None:
    assert grant(SLICES, held(SLICES[0]), Wish(model="m", count=1)).devices == (SLICES[1],)
    assert grant(SLICES, {}, Wish(model="m", count=1, named=("MIG-c",))).devices == (SLICES[2],)
    with pytest.raises(EngineError, match=r"slices of a card \(MIG\) cannot compute together"):
        grant(SLICES, {}, Wish(model="m", count=2))


def test_visible_devices_as_cuda_reads_them() -> None:
    assert visible(FOUR, None) == FOUR
    assert visible(FOUR, "") == ()
    assert visible(FOUR, "2,0") == (FOUR[2], FOUR[0])
    assert visible(FOUR, "GPU-3, 1") == (FOUR[3], FOUR[1])
    assert visible(FOUR, "1,9,0") == (FOUR[1],)
    assert visible(FOUR, "-1") == ()
    assert visible((*SLICES, FOUR[1]), "0") == SLICES


def test_what_an_engine_sees() -> None:
    assert environment(()) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ""}
    assert environment((FOUR[3], FOUR[1]))["CUDA_VISIBLE_DEVICES"] == "3,1"
    assert environment(SLICES[1:2])["CUDA_VISIBLE_DEVICES"] == "MIG-b"

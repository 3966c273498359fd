"""Accelerators: each replica's engine sees its own, counted as the worker counts them, and no other."""

import re
from pathlib import Path

import msgspec

from moorage.config.model import ModelSpec
from moorage.wire.control import Device, Machine, ReplicaOrder, ReplicaReport
from moorage.worker.machine import machine

from .conftest import Harbour

CARDS = tuple(Device(kind="cuda", index=i, name="A100", memory_bytes=80 << 30, uuid=f"GPU-{i}") for i in range(2))


def with_cards() -> Machine:
    return msgspec.structs.replace(machine(), devices=CARDS)


def order(harbour: Harbour, replica: str, **options: object) -> ReplicaOrder:
    spec = ModelSpec.model_validate(
        {
            "name": replica.partition("-")[0], "source": str(harbour.model), "engine": "tiny_adapter:engine",
            "options": options,
        }
    )  # fmt: skip
    return ReplicaOrder(replica=replica, model=spec.model_dump(mode="json"))


def visible(report: ReplicaReport) -> str | None:
    environment = Path(f"/proc/{report.pid}/environ").read_bytes().decode()
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in environment
    found = re.search(r"CUDA_VISIBLE_DEVICES=([^\0]*)", environment)
    return found[1] if found else None


async def test_each_has_its_own(harbour: Harbour) -> None:
    worker = harbour.worker(with_cards)
    await worker.start()
    controller = harbour.controller
    try:
        shared = {"memory_fraction": 0.5, "devices": [1]}
        first = [order(harbour, "a-0"), order(harbour, "b-0", **shared), order(harbour, "c-0", **shared)]
        everyone = [*first, order(harbour, "d-0", devices=[])]
        controller.order(*everyone)
        reports = {name: await controller.until(f"{name}-0", "ready") for name in "abcd"}
        assert {name: visible(report) for name, report in reports.items()} == {"a": "0", "b": "1", "c": "1", "d": ""}
        assert "device 0 (A100): 100% of its memory" in reports["a"].why
        controller.order(*everyone, order(harbour, "e-0", memory_fraction=0.1))
        refused = await controller.until("e-0", "failed")
        assert "model 'e' wants 10% of one, and this machine has 2" in refused.reason
        assert "'b' holds 50% of 1" in refused.reason
        controller.order(*first[1:])
        await controller.until("a-0", "stopped")
        controller.order(*first[1:], order(harbour, "f-0"))
        freed = await controller.until("f-0", "ready")
        assert visible(freed) == "0"
    finally:
        await worker.stop(1.0)

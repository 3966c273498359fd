import pytest

from moorage.core.devices import TAKEN, Hold, Wish
from moorage.core.memory import MIB, OWN_BYTES, MemoryEstimate
from moorage.errors import EngineError
from moorage.wire.control import Device, Machine
from moorage.worker.pool import MachinePool

CARD = Device(kind="cuda", index=0, name="T4", memory_bytes=16 << 30, uuid="GPU-1")
MACHINE = Machine(hostname="host", cores=2, memory_bytes=1000 * MIB + OWN_BYTES, devices=(CARD,))


def test_a_replica_that_starts_again_gets_its_own_place_back() -> None:
    pool = MachinePool(MACHINE)
    for _ in range(3):
        assert pool.take("chat-0", Wish(model="chat", count=1)).devices == (CARD,)
    with pytest.raises(EngineError, match="'chat' holds 100%"):
        pool.take("other-0", Wish(model="other", count=1))
    pool.release("chat-0")
    pool.release("chat-0")
    assert pool.take("other-0", Wish(model="other", count=1)).share == 1.0


def test_what_was_adopted_is_taken() -> None:
    pool = MachinePool(MACHINE)
    pool.restore("chat-0", Hold(model="chat", devices=(CARD,), share=0.7))
    pool.restore("embed-0", None)
    assert pool.take("embed-0", Wish(model="embed", count=1, share=0.3)).share == 0.3
    with pytest.raises(EngineError):
        pool.take("rerank-0", Wish(model="rerank", count=1, share=0.1))


def needs(mib: int, **more: int) -> MemoryEstimate:
    return MemoryEstimate(weights_bytes=mib * MIB, kv_bytes=0, compute_bytes=0, **more)


def test_memory_is_given_once() -> None:
    pool = MachinePool(MACHINE)
    pool.reserve("chat-0", needs(600))
    pool.reserve("chat-0", needs(700, cache_bytes=900 * MIB))
    pool.reserve("unknown-0", None)
    with pytest.raises(EngineError, match=r"needs 301.0 MB of memory.*1 others have 700.0 MB") as refusal:
        pool.reserve("chat-1", needs(301))
    assert refusal.value.error_code == TAKEN, "it comes right by itself when another goes"
    pool.reserve("chat-1", needs(300))
    pool.release("chat-0")
    pool.reserve("embed-0", needs(700))


def test_a_replica_alone_is_not_refused_and_one_on_cards_takes_what_it_has_beside_them() -> None:
    pool = MachinePool(MACHINE)
    pool.reserve("large-0", needs(5000))
    pool.release("large-0")
    pool.restore("adopted-0", None, needs(999))
    pool.reserve("cuda-0", needs(5000, devices=1, host_bytes=MIB))
    with pytest.raises(EngineError):
        pool.reserve("cuda-1", needs(5000, devices=1, host_bytes=MIB))

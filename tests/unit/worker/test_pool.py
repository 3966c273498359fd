import pytest

from moorage.core.devices import Hold, Wish
from moorage.errors import EngineError
from moorage.wire.control import Device
from moorage.worker.pool import DevicePool

CARD = Device(kind="cuda", index=0, name="T4", memory_bytes=16 << 30, uuid="GPU-1")


def test_a_replica_that_starts_again_gets_its_own_place_back() -> None:
    pool = DevicePool([CARD])
    for _ in range(3):
        assert pool.take("chat-0", Wish(model="chat", count=1)).devices == (CARD,)
    with pytest.raises(EngineError, match="'chat' holds 100%"):
        pool.take("other-0", Wish(model="other", count=1))
    pool.release("chat-0")
    pool.release("chat-0")
    assert pool.take("other-0", Wish(model="other", count=1)).share == 1.0


def test_what_was_adopted_is_taken() -> None:
    pool = DevicePool([CARD])
    pool.restore("chat-0", Hold(model="chat", devices=(CARD,), share=0.7))
    pool.restore("embed-0", None)
    assert pool.take("embed-0", Wish(model="embed", count=1, share=0.3)).share == 0.3
    with pytest.raises(EngineError):
        pool.take("rerank-0", Wish(model="rerank", count=1, share=0.1))

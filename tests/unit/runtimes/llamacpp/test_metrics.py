import asyncio
import threading
from pathlib import Path

from moorage.runtimes.generating.slots import Slots
from moorage.runtimes.llamacpp.caller import Caller
from moorage.runtimes.llamacpp.library import Library
from moorage.runtimes.llamacpp.metrics import Metrics
from moorage.wire.runtime import LlamaCppSettings

SETTINGS = LlamaCppSettings(
    socket="/s", token="", model_path="/m.gguf", served_name="m", task="generate", slots=2, context=512, threads=1,
    batch_tokens=256,
)  # fmt: skip


class Stuck(Library):
    """Answers once, then hangs until it is let go."""

    def __init__(self) -> None:
        super().__init__(SETTINGS, Path("/nowhere.sock"))
        self.go = threading.Event()
        self.asked = 0

    def metrics(self) -> str:
        self.asked += 1
        if self.asked > 1:
            self.go.wait(20)
        return f"llamacpp:n_decode_total {self.asked}\n"


async def test_a_hung_engine_is_seen_to_stand_still() -> None:
    library = Stuck()
    caller = Caller(library, Slots(2))
    metrics = Metrics(caller)
    assert "llamacpp:n_decode_total 1\n" in await metrics.text()
    await caller.slots.acquire(1)
    for _ in range(2):
        text = await asyncio.wait_for(metrics.text(), 5)
        assert "llamacpp:n_decode_total 1\n" in text
        assert "\nmoorage_runtime_running 1\n" in text
    assert library.asked == 2
    library.go.set()
    await asyncio.sleep(0.1)
    assert "llamacpp:n_decode_total 3\n" in await metrics.text()
    caller.close()


async def test_an_engine_that_cannot_answer_leaves_our_own_counts() -> None:
    caller = Caller(Library(SETTINGS, Path("/nowhere.sock")), Slots(2))
    text = await Metrics(caller).text()
    assert "moorage_runtime_slots 2" in text
    assert "llamacpp" not in text
    caller.close()

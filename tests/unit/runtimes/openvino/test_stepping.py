import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from moorage.errors import EngineError, InternalError

pytest.importorskip("openvino_genai", reason="the extra openvino is not installed")

from moorage.runtimes.openvino.library import Handle, Library, Output
from moorage.runtimes.openvino.stepping import Stepper
from moorage.wire.runtime import OpenVinoSettings

SETTINGS = OpenVinoSettings(
    socket="/s", token="", model_path="/m.gguf", served_name="m", task="generate", threads=1, sequences=2, context=512,
    cache_tokens=512, batch_tokens=64,
)  # fmt: skip


class Held:
    """Stands for a sequence of the library's."""

    def __init__(self, length: int) -> None:
        self.left = length
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Counting(Library):
    """Writes the number of the step to each sequence, as often as it was asked for; fails when told to."""

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.sequences: list[Held] = []
        self.done = 0
        self.fails_at = 0

    def submit(self, tokens: Sequence[int], fields: Mapping[str, Any]) -> Handle:
        self.sequences.append(Held(len(tokens)))
        return cast("Handle", self.sequences[-1])

    def step(self) -> bool:
        self.done += 1
        if self.done == self.fails_at:
            raise RuntimeError("the cache is gone")
        self.sequences = [one for one in self.sequences if not one.cancelled and one.left]
        return bool(self.sequences)

    def busy(self) -> bool:
        return bool(self.sequences)

    def read(self, handle: Handle) -> Output | None:
        one = cast("Held", handle)
        one.left -= 1
        return Output([self.done], [0.0], None if one.left else "length")


async def test_outputs_come_step_by_step_to_their_end() -> None:
    library = Counting()
    stepper = Stepper(library)
    stepper.start()
    try:
        run = stepper.submit([1, 2, 3], {})
        found = [output async for output in run.outputs()]
        assert [output.finish for output in found] == [None, None, "length"]
        assert stepper.held == 0
        assert stepper.steps == 3
        await asyncio.sleep(0.01)
        assert library.done <= 4, "it steps though there is nothing to do"
    finally:
        await stepper.stop()
        await stepper.stop()


async def test_who_leaves_is_dropped_in_the_next_step() -> None:
    library = Counting()
    stepper = Stepper(library)
    stepper.start()
    try:
        run = stepper.submit([0] * 10_000, {})
        async for _ in run.outputs():
            break
        stepper.cancel(run)
        stepper.cancel(run)
        assert stepper.held == 0
        for _ in range(100):
            await asyncio.sleep(0.001)
            if not library.busy():
                break
        assert not library.sequences
    finally:
        await stepper.stop()


async def test_a_step_that_fails_ends_every_call_and_says_that_all_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    library = Counting()
    library.fails_at = 3
    stepper = Stepper(library)
    stepper.start()
    try:
        runs = [stepper.submit([0] * 100, {}) for _ in range(3)]

        async def read(run: Any) -> None:
            async for _ in run.outputs():
                pass

        results = await asyncio.wait_for(asyncio.gather(*map(read, runs), return_exceptions=True), 5)
        assert [type(result) for result in results] == [InternalError] * 3
        with pytest.raises(EngineError, match="the cache is gone"):
            await stepper.failure
        with pytest.raises(InternalError):
            stepper.submit([1], {})
        assert "RuntimeError: the cache is gone" in capsys.readouterr().err
    finally:
        await stepper.stop()

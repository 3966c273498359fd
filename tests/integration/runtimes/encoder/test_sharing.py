"""Many calls on one model: they share steps, wait their turn, and leave nothing behind when their client goes."""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.runtimes.encoder.client import EMBED, RERANK, Floats, embeddings, good
from tests.integration.runtimes.runtime import Runtime, until

pytestmark = pytest.mark.engine

PREFIX = "moorage_runtime_"
LONG = [" ".join(["harbour"] * 250)] * 2048
"""Minutes of work."""


def metric(runtime: Runtime, name: str) -> float:
    return runtime.metric(PREFIX + name)


def test_sixty_four_clients_get_their_own_and_share_steps(encoder: Runtime) -> None:
    texts = [f"{'boat ' * (index % 9 + 1)}number {index}" for index in range(64)]
    expected = embeddings(encoder, texts)
    steps, done = metric(encoder, "steps_total"), metric(encoder, "texts_total")

    def ask(text: str) -> Floats:
        return embeddings(encoder, text)[0]

    with ThreadPoolExecutor(64) as clients:
        found = list(clients.map(ask, texts * 4))
    assert np.abs(np.stack(found) - np.tile(expected, (4, 1))).max() < 1e-5
    texts_done = metric(encoder, "texts_total") - done
    assert texts_done == 256
    assert texts_done / (metric(encoder, "steps_total") - steps) > 1.5
    until(lambda: metric(encoder, "running") == 0, 5)
    assert metric(encoder, "queued") == 0
    assert metric(encoder, "texts_waiting") == 0


def test_a_lost_client_frees_its_place_at_once(encoder: Runtime) -> None:
    cancelled, steps = metric(encoder, "calls_cancelled_total"), metric(encoder, "steps_total")
    connection = encoder.open(EMBED, {"input": LONG})
    until(lambda: metric(encoder, "steps_total") > steps + 1, 20)
    assert metric(encoder, "running") == 1
    assert 0 < metric(encoder, "texts_waiting") < 100, "one call does not put all its texts before the others"
    connection.close()
    until(lambda: metric(encoder, "running") == 0, 1, "running after a second")
    assert metric(encoder, "texts_waiting") == 0
    assert metric(encoder, "calls_cancelled_total") == cancelled + 1
    after = metric(encoder, "steps_total")
    time.sleep(0.5)
    assert metric(encoder, "steps_total") <= after + 1, "the work goes on"


def test_a_small_call_does_not_wait_for_a_large_one(encoder: Runtime) -> None:
    steps = metric(encoder, "steps_total")
    connection = encoder.open(EMBED, {"input": LONG})
    try:
        until(lambda: metric(encoder, "steps_total") > steps + 1, 20)
        before = metric(encoder, "texts_total")
        embeddings(encoder, "a short text")
        assert metric(encoder, "texts_total") - before < 200
        assert metric(encoder, "running") == 1
    finally:
        connection.close()


def test_who_waits_for_a_place_can_leave_too(minilm: Path, make_encoder: Callable[..., Runtime]) -> None:
    runtime = make_encoder(minilm, max_calls=1).start().ready()
    first = runtime.open(EMBED, {"input": LONG})
    until(lambda: metric(runtime, "running") == 1, 20)
    second = runtime.open(RERANK, {"query": "a", "documents": ["b"]})
    until(lambda: metric(runtime, "queued") == 1, 5)
    second.close()
    until(lambda: metric(runtime, "queued") == 0, 1)
    assert metric(runtime, "running") == 1
    third = ThreadPoolExecutor(1).submit(embeddings, runtime, "after all")
    until(lambda: metric(runtime, "queued") == 1, 5)
    first.close()
    assert third.result(5).shape == (1, 384)
    assert metric(runtime, "calls_cancelled_total") == 1


def test_a_client_that_leaves_while_its_text_is_taken_apart(encoder: Runtime) -> None:
    """A megabyte of text in many parts: seconds in the tokenizer, and nothing computed."""
    steps = metric(encoder, "steps_total")
    connection = encoder.open(EMBED, {"input": ["word " * 100_000] * 20})
    time.sleep(0.05)
    connection.close()
    assert embeddings(encoder, "still here").shape == (1, 384)
    assert metric(encoder, "steps_total") == steps + 1


def test_sigterm_lets_running_calls_finish(minilm: Path, make_encoder: Callable[..., Runtime]) -> None:
    runtime = make_encoder(minilm, grace_s=20.0).start().ready()
    answers: list[Any] = []
    texts = ["harbour " * 200] * 40
    caller = threading.Thread(target=lambda: answers.append(runtime.post(EMBED, {"input": texts})))
    caller.start()
    until(lambda: metric(runtime, "running") == 1, 10)
    runtime.terminate()
    caller.join(30)
    assert len(good(answers[0])["data"]) == 40
    assert runtime.wait(10) == 0
    assert runtime.log.rstrip().endswith("stopped")


def test_sigterm_does_not_wait_for_ever(minilm: Path, make_encoder: Callable[..., Runtime]) -> None:
    runtime = make_encoder(minilm, grace_s=0.5).start().ready()
    with contextlib.closing(runtime.open(EMBED, {"input": LONG})):
        until(lambda: metric(runtime, "running") == 1, 20)
        runtime.terminate()
        assert runtime.wait(10) == 0


def test_memory_stays_flat(encoder: Runtime) -> None:
    """Batches of every shape, again and again."""

    def resident() -> int:
        pages = Path(f"/proc/{encoder.pid}/statm").read_bytes().split()[1]
        return int(pages) * 4096

    shapes = [["boat " * words] * texts for words, texts in ((3, 30), (240, 2), (60, 8), (1, 100))]
    for _ in range(3):
        for shape in shapes:
            embeddings(encoder, shape)
    before = resident()
    for _ in range(6):
        for shape in shapes:
            embeddings(encoder, shape)
    assert resident() - before < 16 << 20

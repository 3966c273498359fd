"""A client that leaves stops a batch of embeddings, judged by llama.cpp's own count of running calls."""

import pytest

from tests.integration.runtimes.runtime import Runtime, until

pytestmark = pytest.mark.engine

STOP_S = 3.0


def test_a_batch_of_embeddings(embed: Runtime) -> None:
    finished = embed.metric("moorage_runtime_calls_finished_total")
    connection = embed.open("/v1/embeddings", {"input": ["some words " * 20] * 500})
    until(lambda: embed.metric("moorage_runtime_calls_finished_total") > finished, 20)
    connection.close()
    until(lambda: embed.metric("moorage_runtime_running") == 0, STOP_S)
    until(lambda: embed.processing() == 0, STOP_S)
    assert embed.metric("moorage_runtime_calls_finished_total") < finished + 400

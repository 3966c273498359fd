"""kill -9 of every process in turn: what should be is back, what should not be is gone, the other model serves on."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.product import Product, wait_until

pytestmark = pytest.mark.engine

REAL, FAKE = "real", "fake"


@pytest.fixture
def product(short_tmp: Path, chat_weights: Path) -> Iterator[Product]:
    """Two gateways, one real engine, one fake one."""
    config = {
        "server": {"processes": 2, "drain_timeout": "10s"},
        "models": [
            {"name": REAL, "source": str(chat_weights), "options": {"max_model_len": 512}},
            {"name": FAKE, "source": str(chat_weights), "engine": "moorage.testing.adapter:engine"},
        ],
    }
    with Product(short_tmp, config).start().ready() as running:
        yield running


class Traffic:
    """Calls one model over and over; every status that comes back is kept."""

    def __init__(self, product: Product, model: str) -> None:
        self.statuses: list[int] = []
        self._product, self._model = product, model
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.statuses.append(self._product.chat(self._model)[0])
            time.sleep(0.02)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def roles(product: Product) -> dict[str, int]:
    return {role: len(group) for role, group in product.processes().items()}


EXPECTED = {"supervisor": 1, "gateway": 2, "keeper": 2, "chat": 1, "fake": 1}


def test_the_processes_are_those_of_the_design(product: Product) -> None:
    assert roles(product) == EXPECTED
    assert product.chat(REAL)[0] == product.chat(FAKE)[0] == 200


@pytest.mark.parametrize("victim", ["engine", "keeper"])
def test_an_engine_or_its_keeper(product: Product, victim: str) -> None:
    before = product.processes()
    engine = before["chat"][0]
    keeper = next(k for k in before["keeper"] if engine.pid in {child.pid for child in k.children(recursive=True)})
    first_start_s = start_s(product, "real-0")
    with Traffic(product, FAKE) as other:
        killed = time.monotonic()
        os.kill(engine.pid if victim == "engine" else keeper.pid, signal.SIGKILL)
        wait_until(lambda: not psutil.pid_exists(engine.pid) or engine.status() == "zombie", 6, "the engine is gone")
        status, body = product.chat(REAL)
        assert status == 200, body
        # Six seconds, or what the model takes to load on a busy machine and what stands around it.
        assert time.monotonic() - killed < max(6.0, 3.0 + 2 * first_start_s)
    assert set(other.statuses) == {200}
    assert roles(product) == EXPECTED
    assert product.processes()["chat"][0].pid != engine.pid
    replicas = {t["id"]: t for m in product.get("/api/v1/status")[1]["models"] for t in m["targets"]}
    assert (replicas["real-0"]["restarts"], replicas["real-0"]["generation"]) == (1, 2)
    assert (replicas["fake-0"]["restarts"], replicas["fake-0"]["generation"]) == (0, 1)


def start_s(product: Product, replica: str) -> float:
    """How long its engine took to become ready."""
    reason: str = product.get(f"/api/v1/replicas/{replica}")[1]["reason"]
    found = re.search(r"([0-9.]+) s", reason)
    assert found, reason
    return float(found[1])


def test_a_gateway(product: Product) -> None:
    """Calls queued at the listening socket are lost by nobody; calls in the dead gateway's hands break off."""
    victim = product.processes()["gateway"][0]
    with Traffic(product, FAKE) as fake, Traffic(product, REAL) as real:
        os.kill(victim.pid, signal.SIGKILL)
        wait_until(lambda: roles(product) == EXPECTED and victim.pid not in product.pids(), 6, "another gateway runs")
        time.sleep(1.5)
    lost = [status for status in fake.statuses + real.statuses if status != 200]
    assert len(lost) <= 2, "at most the call each client had in the dead gateway's hands"
    gateways = wait_until(
        lambda: len(found := product.get("/api/v1/status")[1]["gateways"]) == 2 and found, 5, "both follow the table"
    )
    assert victim.pid not in {gateway["pid"] for gateway in gateways}


def test_the_supervisor(product: Product) -> None:
    assert roles(product) == EXPECTED
    killed = time.monotonic()
    product.kill()
    wait_until(lambda: not product.pids(), 6, "nothing is left")
    assert time.monotonic() - killed < 6
    product.start().ready()
    assert roles(product) == EXPECTED
    assert product.chat(REAL)[0] == product.chat(FAKE)[0] == 200


def test_a_supervisor_that_comes_back_in_time_adopts_its_engines(product: Product) -> None:
    before = {role: group[0].pid for role, group in product.processes().items() if role in ("chat", "fake")}
    product.kill()
    product.start().ready(15)
    time.sleep(6)
    after = {role: group[0].pid for role, group in product.processes().items() if role in ("chat", "fake")}
    assert before == after
    assert roles(product) == EXPECTED
    assert product.chat(REAL)[0] == 200


def test_sigterm_lets_calls_finish_and_leaves_nothing(product: Product) -> None:
    results: list[tuple[int, Any]] = []
    call = threading.Thread(target=lambda: results.append(product.chat(REAL, max_tokens=80, ignore_eos=True)))
    call.start()
    time.sleep(0.3)
    product.kill(signal.SIGTERM)
    call.join()
    assert results[0][0] == 200, results
    assert results[0][1]["usage"]["completion_tokens"] == 80
    assert product.process is not None
    assert product.process.wait(15) == 0
    assert not product.pids()

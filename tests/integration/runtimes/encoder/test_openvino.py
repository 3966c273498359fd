"""Encoders as OpenVINO's IR: the numbers of the other runtimes, shared steps, clients that leave, quiet."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests import openvino_ir
from tests.integration.runtimes.encoder import folders
from tests.integration.runtimes.encoder.client import (
    CLASSIFY,
    EMBED,
    POOLING,
    RERANK,
    TOKENIZE,
    Floats,
    cosines,
    embeddings,
    good,
    refused,
)
from tests.integration.runtimes.runtime import Runtime, until

pytestmark = pytest.mark.engine

HOST = "openvino_encoder"
PREFIX = "moorage_runtime_"
QUERY = "How do cats sleep?"
DOCUMENTS = ["Income tax rose in 1987.", "A cat sleeps curled up, for most of the day.", "Dogs bark at night."]
LONG = [" ".join(["harbour"] * 250)] * 2048
"""Minutes of work."""


def metric(runtime: Runtime, name: str) -> float:
    return runtime.metric(PREFIX + name)


def test_vectors_are_those_of_onnx(encoder_openvino: Runtime, encoder: Runtime) -> None:
    texts = [*DOCUMENTS, "a", "naïve café — 日本語 🚢", "The history of harbours is the history of trade. " * 12]
    found, others = embeddings(encoder_openvino, texts), embeddings(encoder, texts)
    assert cosines(found, others).min() >= 0.999
    alone = np.concatenate([embeddings(encoder_openvino, text) for text in texts])
    assert np.abs(found - alone).max() < 1e-5


def test_a_cross_encoder(
    cross_folder: Path, cross: Runtime, tmp_path: Path, make_encoder: Callable[..., Runtime]
) -> None:
    runtime = make_encoder(openvino_ir.write(cross_folder, tmp_path / "ir"), HOST, task="rerank").start().ready()
    call = {"query": QUERY, "documents": DOCUMENTS}
    found, others = (good(which.post(RERANK, call))["results"] for which in (runtime, cross))
    assert [entry["index"] for entry in found] == [entry["index"] for entry in others]
    for entry, other in zip(found, others, strict=True):
        assert entry["relevance_score"] == pytest.approx(other["relevance_score"], abs=1e-4)


def test_a_classifier(
    classifier_folder: Path, classifier: Runtime, tmp_path: Path, make_encoder: Callable[..., Runtime]
) -> None:
    ir = openvino_ir.write(classifier_folder, tmp_path / "ir", half=True)
    runtime = make_encoder(ir, HOST, task="classify").start().ready()
    found, others = (good(which.post(CLASSIFY, {"input": DOCUMENTS}))["data"] for which in (runtime, classifier))
    for entry, other in zip(found, others, strict=True):
        assert entry["label"] == other["label"]
        assert entry["probs"] == pytest.approx(other["probs"], abs=1e-3)


def test_labels_of_tokens(minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    tagger = folders.tagger(minilm, tmp_path / "m")
    ir = openvino_ir.write(tagger, tmp_path / "ir")
    here, there = (
        make_encoder(folder, host, task="classify").start().ready() for folder, host in ((ir, HOST), (tagger, "onnx"))
    )
    tokens = len(good(here.post(TOKENIZE, {"prompt": QUERY}))["tokens"])
    rows, others = (
        np.array(good(which.post(POOLING, {"input": QUERY}))["data"][0]["data"], np.float32) for which in (here, there)
    )
    assert rows.shape == (tokens, 3)
    assert np.abs(rows - others).max() < 1e-4


def test_a_graph_in_a_folder_of_its_own(minilm: Path, tmp_path: Path, make_encoder: Callable[..., Runtime]) -> None:
    """Where sentence-transformers puts it."""
    ir = openvino_ir.write(minilm, tmp_path / "ir", half=True, below="openvino")
    for path in (ir, ir / "openvino" / openvino_ir.GRAPH):
        assert embeddings(make_encoder(path, HOST).start().ready(), "hello").shape == (1, 384)


def test_many_clients_share_steps(encoder_openvino: Runtime) -> None:
    runtime = encoder_openvino
    texts = [f"{'boat ' * (index % 9 + 1)}number {index}" for index in range(64)]
    expected = embeddings(runtime, texts)
    steps = metric(runtime, "steps_total")

    def ask(text: str) -> Floats:
        return embeddings(runtime, text)[0]

    with ThreadPoolExecutor(64) as clients:
        found = list(clients.map(ask, texts * 4))
    assert np.abs(np.stack(found) - np.tile(expected, (4, 1))).max() < 1e-5
    assert 256 / (metric(runtime, "steps_total") - steps) > 1.5


def test_a_lost_client_frees_its_place_at_once(encoder_openvino: Runtime) -> None:
    runtime = encoder_openvino
    cancelled, steps = metric(runtime, "calls_cancelled_total"), metric(runtime, "steps_total")
    connection = runtime.open(EMBED, {"input": LONG})
    until(lambda: metric(runtime, "steps_total") > steps + 1, 20)
    connection.close()
    until(lambda: metric(runtime, "running") == 0, 1, "running after a second")
    assert metric(runtime, "calls_cancelled_total") == cancelled + 1
    assert embeddings(runtime, "and on").shape == (1, 384)


def test_a_step_for_nobody_ends(ir_folder: Path, make_encoder: Callable[..., Runtime]) -> None:
    """One step of minutes, as it would be without the bound on its time."""
    runtime = make_encoder(ir_folder, HOST, batch_tokens=1 << 20).start().ready()
    connection = runtime.open(EMBED, {"input": LONG})
    until(lambda: metric(runtime, "running") == 1, 20)
    connection.close()
    until(lambda: metric(runtime, "running") == 0, 1)
    assert embeddings(runtime, "the next").shape == (1, 384)


def test_memory_stays_flat(encoder_openvino: Runtime) -> None:
    def resident() -> int:
        return int(Path(f"/proc/{encoder_openvino.pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    shapes = [["boat " * words] * texts for words, texts in ((3, 30), (240, 2), (60, 8), (1, 100))]
    for _ in range(3):
        for shape in shapes:
            embeddings(encoder_openvino, shape)
    before = resident()
    for _ in range(6):
        for shape in shapes:
            embeddings(encoder_openvino, shape)
    assert resident() - before < 16 << 20


def test_wrong_tasks_are_told(encoder_openvino: Runtime) -> None:
    assert "not for classification" in refused(encoder_openvino.post(CLASSIFY, {"input": "a"}), "model", "wrong_task")


QUIET = """
import sys
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.posix_spawn"):
        sys.stderr.write(f"{event} {args}\\n")
sys.addaudithook(watch)
from pathlib import Path
from moorage.runtimes.openvino_encoder.session import Session
Session(Path(sys.argv[1]), threads=1, pad_token=0)
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
import time
time.sleep(0.5)
"""


def test_nothing_is_reported_and_nothing_kept(ir_folder: Path, tmp_path: Path) -> None:
    """Left alone, openvino writes a number of this device under ~/intel as it is imported, and sends it."""
    kept = ("CI", "TF_BUILD", "JENKINS_URL", "XDG_CACHE_HOME")
    env = {name: value for name, value in os.environ.items() if name not in kept} | {"HOME": str(tmp_path)}
    program = [sys.executable, "-c", QUIET, str(ir_folder / openvino_ir.GRAPH)]
    done = subprocess.run(program, env=env, check=True, timeout=60, capture_output=True, text=True)
    assert done.stderr == ""
    assert list(tmp_path.rglob("*")) == []

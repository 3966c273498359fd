import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_client.answering import Answering

Piped = Callable[..., "subprocess.CompletedProcess[str]"]
TerminalOf = Callable[..., Any]

QUERY = "where is the ship"
DOCUMENTS = ("nothing here", "the ship is in port", "a ship", "there is one")


def test_the_best_first(answering: Answering, piped: Piped) -> None:
    done = piped("rerank", "--url", answering.url, QUERY, *DOCUMENTS)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(maxsplit=3) for line in done.stdout.splitlines()] == [
        ["RANK", "SCORE", "INDEX", "DOCUMENT"],
        ["1", "0.7500", "1", "the ship is in port"],
        ["2", "0.2500", "2", "a ship"],
        ["3", "0.2500", "3", "there is one"],
        ["4", "0.0000", "0", "nothing here"],
    ]
    body = answering.seen[-1].json
    assert body == {"model": "minilm", "query": QUERY, "documents": list(DOCUMENTS), "return_documents": False}


def test_json_and_top(answering: Answering, piped: Piped) -> None:
    done = piped("rerank", "--url", answering.url, QUERY, *DOCUMENTS, "--json", "--top", "1")
    assert json.loads(done.stdout) == {
        "model": "minilm",
        "query": QUERY,
        "results": [{"index": 1, "relevance_score": 0.75, "document": "the ship is in port"}],
    }


def test_a_model_to_rerank_is_taken_before_one_to_embed(answering: Answering, piped: Piped) -> None:
    answering.behave(models=(("minilm", "embed"), ("cross", "rerank"), ("bert", "embed")))
    assert piped("rerank", "--url", answering.url, QUERY, *DOCUMENTS).returncode == 0
    assert answering.seen[-1].json["model"] == "cross"


def test_documents_of_files_and_stdin_in_batches(answering: Answering, piped: Piped, tmp_path: Path) -> None:
    file = tmp_path / "documents.txt"
    file.write_text("\n".join(f"nothing {number}" for number in range(600)) + "\nthe ship\n")
    done = piped("rerank", "--url", answering.url, QUERY, "-f", str(file), "-", "--json", "-n", "2", stdin="a ship\n")
    found = json.loads(done.stdout)["results"]
    assert [(row["index"], row["document"]) for row in found] == [(601, "the ship"), (0, "a ship")]
    assert len(answering.seen) > 1
    assert max(len(call.json["documents"]) for call in answering.seen) <= 256


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("garbage", "/v1/rerank answered is not understood"),
        ("short", "the server ranked 3 of 4 documents"),
        ("dies", "broke off before it answered"),
        ("status 400", "moorage: not now\n"),
    ],
)
def test_errors(answering: Answering, piped: Piped, fault: str, words: str) -> None:
    answering.behave(fault=fault)
    done = piped("rerank", "--url", answering.url, QUERY, *DOCUMENTS)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_misuse(answering: Answering, piped: Piped) -> None:
    assert "the query is empty" in piped("rerank", "--url", answering.url, " ", "x").stderr
    assert "there is no document" in piped("rerank", "--url", answering.url, "x", stdin="\n").stderr
    assert piped("rerank", "--url", answering.url).returncode == 2
    assert piped("rerank", "--url", "127.0.0.1:1", "x", "y").returncode == 1
    assert not answering.seen


def test_ctrl_c_ends_it_at_once(answering: Answering, terminal: TerminalOf) -> None:
    answering.behave(fault="slow")
    screen = terminal("rerank", "--url", answering.url, "x", "y")
    while not answering.seen:
        assert screen.process.poll() is None
    screen.interrupt()
    assert screen.ends(5) == 130

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_client.answering import Answering
from tests.integration.cli_client.conftest import command

Piped = Callable[..., "subprocess.CompletedProcess[str]"]
TerminalOf = Callable[..., Any]


def rows(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_line_for_each_text(answering: Answering, piped: Piped) -> None:
    done = piped("embed", "--url", answering.url, "ship", "a ship at the quay, ⚓")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.split() == ["0", "6", "4.0000", "0.2500", "0.2500", "0.2500", "…", "ship"]
    assert second.endswith("…  a ship at the quay, ⚓")
    call = answering.seen[-1]
    assert call.path == "/v1/embeddings"
    assert call.json == {"model": "minilm", "input": ["ship", "a ship at the quay, ⚓"], "encoding_format": "float"}


def test_json_lines_hold_the_whole_vector(answering: Answering, piped: Piped) -> None:
    done = piped("embed", "--url", answering.url, "--json", "--dimensions", "3", "a\nb", "ß")
    assert rows(done.stdout) == [
        {"index": 0, "text": "a\nb", "embedding": [3.0, 0.25, 0.25]},
        {"index": 1, "text": "ß", "embedding": [1.0, 0.25, 0.25]},
    ]
    assert answering.seen[-1].json["dimensions"] == 3


def test_arguments_stdin_and_files_in_their_order(answering: Answering, piped: Piped, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffdrei\r\n\r\n  \nvier".encode())
    done = piped("embed", "--url", answering.url, "--json", "null", "-", "zwei", "-f", str(file), stdin="eins\n\nund\n")
    assert [row["text"] for row in rows(done.stdout)] == ["null", "eins", "und", "zwei", "drei", "vier"]
    assert [row["index"] for row in rows(done.stdout)] == list(range(6))


def test_many_texts_go_in_batches_and_keep_their_order(answering: Answering, piped: Piped) -> None:
    texts = [f"text {number} {'x' * (number % 700)}" for number in range(1000)]
    done = piped("embed", "--url", answering.url, "--json", stdin="\n".join(texts))
    found = rows(done.stdout)
    assert [row["text"] for row in found] == texts
    assert [row["embedding"][0] for row in found] == [len(text) for text in texts]
    assert max(len(call.json["input"]) for call in answering.seen) == 64


def test_what_comes_slowly_is_done_as_it_comes(answering: Answering, environment: dict[str, str]) -> None:
    argv = command("embed", "--url", answering.url, "--json")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in (b"first", b"second"):
            process.stdin.write(text + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == text.decode()
        process.stdin.close()
        assert process.wait(10) == 0


def test_prompts(answering: Answering, piped: Piped) -> None:
    done = piped("embed", "--url", answering.url, "--json", "--prefix", "query: ", "ship")
    assert answering.seen[-1].json["input"] == ["query: ship"]
    assert rows(done.stdout)[0]["text"] == "ship"
    done = piped("embed", "--url", answering.url, "--json", "--input-type", "query", "--dimensions", "2", "ship")
    assert rows(done.stdout) == [{"index": 0, "text": "ship", "embedding": [4.0, 2.0]}]
    assert answering.seen[-1].path == "/v2/embed"
    assert answering.seen[-1].json == {
        "model": "minilm",
        "texts": ["ship"],
        "input_type": "search_query",
        "embedding_types": ["float"],
        "output_dimension": 2,
    }


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ((("a", "embed"), ("b", "embed")), "has several models to embed: a, b; choose one by --model"),
        ((("a", "generate"),), "has no model to embed; it has a (generate)"),
        ((("a", None), ("b", None)), "has several models: a, b; choose one by --model"),
        ((), "has no model to embed; it has none at all"),
    ],
)
def test_no_model_that_goes_without_saying(answering: Answering, piped: Piped, models: Any, words: str) -> None:
    answering.behave(models=models)
    done = piped("embed", "--url", answering.url, "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"moorage: {answering.url} {words}\n"


def test_a_server_with_one_model_need_not_tell_its_task(answering: Answering, piped: Piped) -> None:
    answering.behave(models=(("a", None),))
    assert piped("embed", "--url", answering.url, "x").returncode == 0
    assert answering.seen[-1].json["model"] == "a"


def test_the_model_named(answering: Answering, piped: Piped) -> None:
    assert piped("embed", "--url", answering.url, "-m", "other", "x").returncode == 0
    assert answering.seen[-1].json["model"] == "other"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("garbage", "/v1/embeddings answered is not understood"),
        ("short", "the server sent 63 vectors for 64 texts"),
        ("dies", "broke off before it answered"),
        ("status 400", "moorage: not now; "),
        ("status 503", "moorage: not now; "),
    ],
)
def test_what_was_done_before_an_error_is_kept(answering: Answering, piped: Piped, fault: str, words: str) -> None:
    answering.behave(fault=fault, after=1)
    done = piped("embed", "--url", answering.url, "--json", stdin="text\n" * 128)
    assert done.returncode == 1
    assert len(rows(done.stdout)) == 64
    assert words in done.stderr
    assert done.stderr.endswith("; 64 texts were done before\n")
    assert "Traceback" not in done.stderr


def test_a_key(answering: Answering, piped: Piped) -> None:
    answering.behave(key="sesame")
    assert piped("embed", "--url", answering.url, "--api-key", "sesame", "x").returncode == 0
    done = piped("embed", "--url", answering.url, "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "moorage: the key is wrong; give a key by --api-key or MOORAGE_API_KEY\n"


def test_nothing_listens(piped: Piped) -> None:
    done = piped("embed", "--url", "127.0.0.1:1", "x")
    assert done.returncode == 1
    assert "no Moorage at http://127.0.0.1:1; start one with `moorage serve`" in done.stderr


@pytest.mark.parametrize("stdin", ["", "\n \n"])
def test_no_text_at_all(answering: Answering, piped: Piped, stdin: str) -> None:
    done = piped("embed", "--url", answering.url, stdin=stdin)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no text" in done.stderr
    assert not answering.seen


def test_files_that_are_none(answering: Answering, piped: Piped, tmp_path: Path) -> None:
    done = piped("embed", "--url", answering.url, "-f", str(tmp_path / "missing"))
    assert done.returncode == 2
    assert "does not exist" in done.stderr
    done = piped("embed", "--url", answering.url, "-f", str(tmp_path))
    assert done.returncode == 2
    assert "is a directory" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"good\nbad \xff\n", "line 2: is no text (byte 5 is 0xff); texts are UTF-8, one a line"),
        (b"\x7fELF\0\0\n", "line 1: is no text (it holds zero bytes)"),
        (b"x" * 9_000_000, "line 1: is longer than 8.0 MB"),
    ],
)
def test_binary_garbage(answering: Answering, environment: dict[str, str], content: bytes, words: str) -> None:
    argv = command("embed", "--url", answering.url)
    done = subprocess.run(argv, input=content, capture_output=True, env=environment, timeout=60, check=False)
    assert done.returncode == 1
    assert f"moorage: stdin, {words}" in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_reader_that_leaves(answering: Answering, environment: dict[str, str]) -> None:
    argv = command("embed", "--url", answering.url, "--json")
    texts = "\n".join(f"text {number}" for number in range(5000)).encode()
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(texts[:2000])
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        with pytest.raises(BrokenPipeError):
            while True:
                process.stdin.write(texts)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        assert process.wait(20) == 1
        assert process.stderr.read() == b""
    assert len(answering.seen) < 20


def test_ctrl_c_ends_it_at_once(answering: Answering, terminal: TerminalOf) -> None:
    answering.behave(fault="slow")
    screen = terminal("embed", "--url", answering.url, "x")
    while not answering.seen:
        assert screen.process.poll() is None
    screen.interrupt()
    assert screen.ends(5) == 130


def test_on_a_terminal_lines_fit_and_are_harmless(answering: Answering, terminal: TerminalOf) -> None:
    screen = terminal("embed", "--url", answering.url, "red\x1b[2J " + "long " * 40)
    line = screen.expect(r"\r\n").splitlines()[-1]
    assert "red[2J" in line
    assert len(line) <= 120
    assert line.endswith("…")
    screen.expect(r"1 text, 41 tokens, [\d.]+ s, minilm")
    assert screen.ends() == 0


def test_at_a_terminal_nothing_is_waited_for(terminal: TerminalOf) -> None:
    screen = terminal("embed")
    screen.expect("nothing is given; name texts, a file by --file, or pipe lines in")
    assert screen.ends() == 2


def test_it_starts_light() -> None:
    program = "import sys, moorage.cli.embed, moorage.cli.rerank, moorage.cli.transcribe; print(*sys.modules)"
    argv = [sys.executable, "-c", program]
    names = set(subprocess.run(argv, capture_output=True, text=True, check=True, env=os.environ).stdout.split())
    assert not names & {"numpy", "aiohttp", "pydantic", "rich", "onnxruntime", "yaml", "psutil"}

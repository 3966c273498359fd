"""The process: how it starts, listens, refuses, drains and dies."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moorage.engines.llamacpp import LlamaCpp
from tests.contract.openai_schema import validate
from tests.integration.runtimes.runtime import Answer, Runtime, until

pytestmark = pytest.mark.engine

Make = Callable[..., Runtime]


def cause(runtime: Runtime) -> str:
    """What the adapter makes of a start that failed."""
    assert runtime.wait() == 1, runtime.log
    assert runtime.out_path.read_bytes() == b""
    assert not Path(runtime.settings.socket).exists()
    last = runtime.log.strip().splitlines()[-1]
    assert last.startswith("moorage: "), runtime.log
    diagnosis = LlamaCpp().diagnose(runtime.log)
    assert diagnosis is not None, runtime.log
    return diagnosis.cause


def test_it_says_that_it_loads_then_answers_and_stops(make_runtime: Make) -> None:
    runtime = make_runtime().start()
    seen: set[int] = set()

    def ready() -> bool:
        try:
            answer = runtime.get("/health")
        except OSError:
            return False
        seen.add(answer.status)
        if answer.status == 503:
            assert answer.body["status"] == "loading"
            assert answer.body["progress"]["total"] > 90_000_000
            assert answer.headers["retry-after"] == "1"
        return answer.status == 200

    until(ready, 60)
    assert seen == {200, 503}
    path = Path(runtime.settings.socket)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    runtime.terminate()
    assert runtime.wait() == 0
    assert not path.exists()
    assert not Path(f"{path}.sock").exists()
    assert runtime.out_path.read_bytes() == b""
    assert "Traceback" not in runtime.log


def test_its_callers_are_known(generate: Runtime) -> None:
    for token in ("", "wrong", "a-token-and-more"):
        answer = generate.call("POST", "/v1/chat/completions", b"{}", token)
        assert answer.status == 401
        validate("ErrorResponse", answer.body)
        assert answer.headers["www-authenticate"] == "Bearer"


def test_sigterm_lets_running_calls_finish(make_runtime: Make) -> None:
    runtime = make_runtime(grace_s=30.0).start().ready()
    answers: list[Answer] = []

    def ask() -> None:
        answers.append(runtime.chat("Tell me a story.", max_tokens=60, ignore_eos=True))

    caller = threading.Thread(target=ask)
    caller.start()
    until(lambda: runtime.processing() == 1, 20)
    runtime.terminate()
    assert runtime.wait() == 0
    caller.join()
    assert answers[0].body["usage"]["completion_tokens"] == 60


def test_sigterm_ends_calls_that_outlast_the_grace(make_runtime: Make) -> None:
    runtime = make_runtime(grace_s=1.0).start().ready()
    endless = {"messages": [{"role": "user", "content": "x"}], "ignore_eos": True, "stream": True}
    connection = runtime.open("/v1/chat/completions", endless)
    until(lambda: runtime.processing() == 1, 20)
    runtime.terminate()
    assert runtime.wait(10) == 0
    connection.close()


def test_a_killed_one_leaves_a_socket_its_successor_replaces(make_runtime: Make) -> None:
    runtime = make_runtime().start().ready()
    os.kill(runtime.pid, signal.SIGKILL)
    runtime.wait()
    assert Path(runtime.settings.socket).exists()
    runtime.start().ready()
    assert runtime.chat(max_tokens=2).status == 200


def test_killed_while_loading_leaves_nobody_at_the_door(make_runtime: Make) -> None:
    runtime = make_runtime().start()
    until(lambda: Path(runtime.settings.socket).exists(), 20)
    os.kill(runtime.pid, signal.SIGKILL)
    runtime.wait()

    def refused() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(runtime.settings.socket) != 0

    until(refused, 5)


def test_a_socket_in_use_is_left_alone(make_runtime: Make, generate: Runtime) -> None:
    runtime = make_runtime(socket=generate.settings.socket)
    with Runtime(runtime.settings) as second:
        second.log_path = runtime.log_path.parent / "second"
        second.out_path = second.log_path.with_suffix(".out")
        second.log_path.parent.mkdir(exist_ok=True)
        second.start()
        assert second.wait() == 1
        diagnosis = LlamaCpp().diagnose(second.log)
        assert diagnosis is not None
        assert "socket" in diagnosis.cause
    assert generate.get("/health").status == 200


@pytest.mark.parametrize("size", [0, 3, 3000, 30_000_000])
def test_a_truncated_model(make_runtime: Make, chat_weights: Path, short_tmp: Path, size: int) -> None:
    cut = short_tmp / "cut.gguf"
    with chat_weights.open("rb") as file:
        cut.write_bytes(file.read(size))
    assert "truncated" in cause(make_runtime(model_path=str(cut)).start())


def test_not_a_model(make_runtime: Make, short_tmp: Path) -> None:
    other = short_tmp / "other.gguf"
    other.write_bytes(b"PK\x03\x04" + bytes(100_000))
    assert "not a GGUF" in cause(make_runtime(model_path=str(other)).start())


def test_no_model(make_runtime: Make, short_tmp: Path) -> None:
    assert "cannot be opened" in cause(make_runtime(model_path=str(short_tmp / "none.gguf")).start())


def test_an_architecture_nobody_knows(make_runtime: Make, chat_weights: Path, short_tmp: Path) -> None:
    strange = short_tmp / "strange.gguf"
    strange.write_bytes(chat_weights.read_bytes().replace(b"llama", b"llamx"))
    assert "'llamx'" in cause(make_runtime(model_path=str(strange)).start())


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"n_batches": 5}, "n_batch"),
        ({"n_ctx": 5}, "options.max_model_len"),
        ({"sampling.top_x": 5}, "top_k"),
        ({"warmup": 3}, "true or false"),
        ({"n_keep": "many"}, "whole number"),
        ({"rope_scaling_type": "odd"}, "YARN"),
        ({"tensor_split": 1}, "cannot hold"),
        ({"n_keep": 1 << 70}, "n_keep"),
    ],
)
def test_extra_arguments_that_are_none(make_runtime: Make, extra: dict[str, Any], words: str) -> None:
    assert words in cause(make_runtime(extra_args=extra).start())


def test_extra_arguments_reach_the_library(make_runtime: Make) -> None:
    extra = {"warmup": False, "sampling.temp": 0.0, "rope_scaling_type": "none", "n_keep": 4}
    runtime = make_runtime(extra_args=extra).start().ready()
    said = {runtime.complete("Once", max_tokens=8).body["choices"][0]["text"] for _ in range(3)}
    assert len(said) == 1


@pytest.mark.parametrize("dtype", ["q8_0", "q4_0"])
def test_a_quantised_kv_cache(make_runtime: Make, dtype: str) -> None:
    assert make_runtime(kv_cache_dtype=dtype).start().ready().chat(max_tokens=3).status == 200


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"[]", b"{}", b'{"socket": 3}'])
def test_settings_nobody_can_read(short_tmp: Path, content: bytes | None) -> None:
    path = short_tmp / "settings.json"
    if content is not None:
        path.write_bytes(content)
    command = [sys.executable, "-m", "moorage.runtimes.llamacpp", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("cannot read the settings")
    assert "Traceback" not in done.stderr

"""Starts that go wrong, and changes while it runs."""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.product import Product, wait_until

pytestmark = pytest.mark.engine


def run(*args: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "moorage.cli.main", "serve", *args]
    env = {"MOORAGE_STATE_DIR": str(folder / "state"), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=env, cwd=folder, check=False)


def test_a_taken_port_is_named_with_its_owner(short_tmp: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        done = run("-p", str(holder.getsockname()[1]), folder=short_tmp)
    assert done.returncode == 1
    assert "is taken by" in done.stderr
    assert f"(pid {__import__('os').getpid()})" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-c", "missing.yaml"], "missing.yaml: there is no such file"),
        (["--host", "0.0.0.0"], "set auth.keys or MOORAGE_API_KEY"),
        (["--host", "203.0.113.7"], "auth.keys"),
        (["--port", "99999"], "server.port"),
        (["ftp:org/name"], "ftp:"),
    ],
)
def test_what_cannot_start_says_why(short_tmp: Path, args: list[str], words: str) -> None:
    done = run(*args, folder=short_tmp)
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_model_does_not_keep_the_others_from_serving(short_tmp: Path, chat_weights: Path) -> None:
    cut = short_tmp / "cut.gguf"
    with open(chat_weights, "rb") as whole:
        cut.write_bytes(whole.read(50_000_000))
    (short_tmp / "text.gguf").write_text("not a model\n" * 100)
    config = {
        "models": [
            {"name": "good", "source": str(chat_weights), "options": {"max_model_len": 512}},
            {"name": "cut", "source": str(cut)},
            {"name": "text", "source": str(short_tmp / "text.gguf")},
            {"name": "gone", "source": str(short_tmp / "gone.gguf")},
        ]
    }
    with Product(short_tmp, config).start() as product:
        wait_until(lambda: product.chat("good")[0] == 200, 60, "the good model serves")
        reasons = {"cut": "truncated", "text": "GGUF", "gone": "gone.gguf"}
        for name, words in reasons.items():
            model = wait_until(
                lambda name=name: next(
                    (
                        m["targets"][0]
                        for m in product.get("/api/v1/status")[1]["models"]
                        if m["id"] == name and m["targets"][0]["state"] == "failed"
                    ),
                    None,
                ),
                20,
                f"{name} failed",
            )
            assert words in model["reason"], model
            status, body = product.chat(name)
            assert status == 503
            assert words in body["error"]["message"]
        assert product.get("/health")[1]["status"] == "degraded"
        assert product.get("/ready")[0] == 503
        assert "Traceback" not in product.output
        # What was broken is mended in place, and found without a restart of the server.
        shutil.copy(chat_weights, cut)
        wait_until(lambda: product.chat("cut")[0] == 200, 60, "the mended model serves")


def test_a_reload_is_whole_or_nothing(short_tmp: Path, chat_weights: Path) -> None:
    fake = {"source": str(chat_weights), "engine": "moorage.testing.adapter:engine"}
    config = {"models": [{"name": "one", **fake}]}
    with Product(short_tmp, config).start().ready() as product:
        pid = product.processes()["fake"][0].pid
        product.config_path.write_text('{"models": [{"name": "two"}], "servr": {}}')
        wait_until(lambda: "the new configuration is not used" in product.output, 5, "the bad file is refused")
        assert "did you mean" in product.output
        product.write_config({"models": [{"name": "two", **fake}], "server": {"processes": 3}})
        wait_until(lambda: "server.processes cannot change" in product.output, 5, "a restart is asked for")
        assert product.chat("one")[0] == 200
        assert product.chat("two")[0] == 404
        product.write_config({"models": [{"name": "one", **fake}, {"name": "two", **fake}], "auth": {"keys": ["k1"]}})
        wait_until(lambda: product.chat("one")[0] == 401, 5, "keys are demanded")
        product.write_config({"models": [{"name": "one", **fake}, {"name": "two", **fake}]})
        wait_until(lambda: product.chat("two")[0] == 200, 20, "the added model serves")
        assert pid in product.pids(), "the unchanged model's engine was left alone"
        product.write_config({"models": [{"name": "two", **fake}]})
        wait_until(lambda: product.chat("one")[0] == 404, 5, "the removed model is gone")
        wait_until(lambda: pid not in product.pids(), 15, "its engine has ended")


def test_a_file_that_is_just_being_written_is_not_taken_for_an_empty_one(short_tmp: Path, chat_weights: Path) -> None:
    """An empty file is a good one: it serves the default model, and would end all the others."""
    config = {"models": [{"name": "one", "source": str(chat_weights), "engine": "moorage.testing.adapter:engine"}]}
    with Product(short_tmp, config).start().ready() as product:
        pid = product.processes()["fake"][0].pid
        for _ in range(15):
            product.config_path.write_text("")
            time.sleep(0.15)
            product.write_config(config)
            time.sleep(0.05)
        wait_until(lambda: "the configuration has not changed" in product.output, 5, "the file is looked at")
        assert "configuration reloaded" not in product.output
        assert pid in product.pids()


def test_two_servers_share_a_cache_but_not_a_port(short_tmp: Path, chat_weights: Path) -> None:
    config = {"models": [{"name": "m", "source": str(chat_weights), "options": {"max_model_len": 256}}]}
    with Product(short_tmp, config).start().ready() as first:
        again = subprocess.run(
            [sys.executable, "-m", "moorage.cli.main", "serve", "-p", str(first.port)],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert again.returncode == 1
        assert f"port {first.port} is taken" in again.stderr
        second_folder = short_tmp / "b"
        second_folder.mkdir()
        with Product(second_folder, config).start().ready() as second:
            assert first.chat("m")[0] == second.chat("m")[0] == 200
        time.sleep(0.5)
        assert first.chat("m")[0] == 200

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from moorage.config.aliases import VARIABLES
from moorage.config.load import Loaded, load

UNIFIED = """{"models": {
  "chat": {"path": "/c", "port": 8001}, "embedding": {"path": "/e", "port": 8002}, "rerank": {"path": "/r"}
}, "router": {"port": 8000}}"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(
    env: Mapping[str, str], text: str = "", name: str = "moorage.yaml", flags: Mapping[str, Any] | None = None
) -> Loaded:
    Path(name).write_text(text)
    return load(name, environ={"HOME": "/h", **env}, flags=flags)


def test_flags_over_our_variables_over_aliases_over_the_file() -> None:
    text = "server: {port: 1}"
    both = {"PORT": "9", "MOORAGE_SERVER_PORT": "8"}
    assert loaded({"PORT": "9"}, text).config.server.port == 9
    assert loaded(both, text).config.server.port == 8
    assert loaded(both, text, flags={"server.port": 7}).config.server.port == 7
    assert loaded({"PORT": "9"}, text).sources["server.port"] == "PORT"


def test_the_variable_that_means_it_most_wins() -> None:
    three = {"PORT": "1", "MISTRALRS_PORT": "2", "VLLM_ROUTER_PORT": "3"}
    assert loaded(three).config.server.port == 3
    assert loaded({name: three[name] for name in ("PORT", "MISTRALRS_PORT")}).config.server.port == 2


def test_what_a_variable_decides_is_told() -> None:
    assert loaded({"PORT": "9"}, "server: {port: 1}").notices == (
        "server.port is 9 by the variable PORT, in place of 1; MOORAGE_SERVER_PORT beats it",
    )
    assert loaded({"PORT": "9", "VLLM_ROUTER_PORT": "8", "LOG_LEVEL": "WARN"}).notices == (
        "server.port is 8 by the variable VLLM_ROUTER_PORT; MOORAGE_SERVER_PORT beats it",
        "logging.level is warning by the variable LOG_LEVEL; MOORAGE_LOGGING_LEVEL beats it",
    )
    assert loaded({"PORT": "9", "MOORAGE_SERVER_PORT": "1"}).notices == ()


@pytest.mark.parametrize(
    ("name", "value", "warning"),
    [
        ("PORT", "tcp://10.0.0.1:80", "PORT is left out: it should be a port from 0 to 65535"),
        ("PORT", "99999", "PORT is left out: it should be a port from 0 to 65535"),
        ("MISTRALRS_PORT", "http", "MISTRALRS_PORT is left out: it should be a port from 0 to 65535"),
        ("LOG_LEVEL", "verbose", "LOG_LEVEL is left out: it should be debug, info, warning, error, trace, warn"),
        ("VLLM_CHAT_PORT", "1", "VLLM_CHAT_PORT is left out: there is no single model whose task is generate"),
        (
            "VLLM_GPU_MEM_FRACTION",
            "0.5",
            "VLLM_GPU_MEM_FRACTION sets nothing: no version of vLLM read it; write",
        ),
        ("WORKER_ID", "a", "WORKER_ID has no effect in this version: the identity of a worker of its own"),
        ("MAX_CONCURRENT_REQUESTS", "4", "has no effect in this version"),
    ],
)
def test_a_value_for_another_program_is_left_out_and_told(name: str, value: str, warning: str) -> None:
    found = loaded({name: value})
    assert found.config.server.port == 8000
    assert found.config.logging.level == "info"
    assert found.warnings[0].startswith(warning) or warning in found.warnings[0]
    assert len(found.warnings) == 1


@pytest.mark.parametrize(
    "name", [name for name, known in VARIABLES.items() if known.standing != "option" and not known.warned]
)
def test_variables_others_need_are_no_reason_to_say_anything(name: str) -> None:
    found = loaded({name: "all"})
    assert (found.warnings, found.notices) == ((), ())


def test_ports_of_the_three_models() -> None:
    env = {
        "VLLM_ROUTER_PORT": "9000",
        "VLLM_CHAT_PORT": "9001",
        "VLLM_EMBEDDING_PORT": "9002",
        "VLLM_RERANK_PORT": "9003",
    }
    found = loaded(env, UNIFIED, "models.json")
    assert [model.port for model in found.config.models.local] == [9001, 9002, 9003]
    assert found.config.server.port == 9000
    assert found.sources["models.local[0].port"] == "VLLM_CHAT_PORT"
    assert "models.local[0].port is 9001 by the variable VLLM_CHAT_PORT, in place of 8001" in found.notices
    named = "models: [{name: a, source: b}, {name: c, source: d, task: embed}]"
    assert [m.port for m in loaded({"VLLM_EMBEDDING_PORT": "5"}, named).config.models.local] == [None, 5]


def test_ports_of_models_the_command_line_names_are_its_own() -> None:
    flags = {"models": [{"name": "x", "source": "y"}]}
    found = loaded({"VLLM_CHAT_PORT": "9001"}, UNIFIED, "models.json", flags)
    assert [(model.name, model.port) for model in found.config.models.local] == [("x", None)]


def test_a_token_is_one_more_key() -> None:
    def keys(env: Mapping[str, str], text: str = "") -> list[tuple[str, str]]:
        return [(key.name, key.key.get_secret_value()) for key in loaded(env, text).config.auth.keys]

    assert keys({"API_TOKEN": "abc"}) == [("API_TOKEN", "abc")]
    assert keys({"API_TOKEN": "abc"}, "auth: {keys: [x]}") == [("key-1", "x"), ("API_TOKEN", "abc")]
    assert keys({"API_TOKEN": "x"}, "auth: {keys: [x]}") == [("key-1", "x")]
    assert keys({"API_TOKEN": "abc", "MOORAGE_API_KEY": "own"}) == [("environment", "own")]
    assert keys({"API_TOKEN": "a b"}) == []
    assert loaded({"API_TOKEN": "abc"}).notices == (
        "a key is taken from the variable API_TOKEN; MOORAGE_API_KEY beats it",
    )


def test_aliases_beside_the_file(folder: Path) -> None:
    (folder / ".env").write_text("VLLM_ROUTER_PORT=9000\nVLLM_CHAT_PORT=9001\n")
    found = loaded({"VLLM_CHAT_PORT": "9005"}, UNIFIED, "models.json")
    assert (found.config.server.port, found.config.models.local[0].port) == (9000, 9005)

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from moorage.config.defaults import default_models
from moorage.config.load import Loaded, environment_options, load
from moorage.config.options import options
from moorage.config.tree import Config
from moorage.errors import ConfigError

HOME = {"HOME": "/home/someone"}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(text: str, *, env: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None) -> Loaded:
    Path("moorage.yaml").write_text(text, encoding="utf-8")
    return load("moorage.yaml", environ={**HOME, **(env or {})}, flags=flags)


def refusal(text: str, *, env: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        loaded(text, env=env, flags=flags)
    return refused.value.message


def test_without_anything_the_default_models_are_served_on_loopback() -> None:
    found = load(environ=HOME)
    assert found.path is None
    assert found.config.server.host == "127.0.0.1"
    assert found.config.models.local == default_models()
    assert [model.name for model in default_models()[:2]] == ["smollm2-135m-instruct", "all-minilm-l6-v2"]
    assert found.config.cache_dir == Path("/home/someone/.cache/moorage")
    assert found.config.state_dir == Path("/home/someone/.local/state/moorage")
    assert found.sources == {}


def test_an_empty_file_and_empty_sections_are_the_defaults() -> None:
    assert loaded("").config == loaded("server:\nauth:\n  keys:\nmodels:\nlogging: {level: }\n").config


def test_flags_over_environment_over_file_over_defaults() -> None:
    text = "server: {port: 1001, host: 10.0.0.1, processes: 2}\nauth: {allow_anonymous: true}"
    env = {"MOORAGE_SERVER_PORT": "1002", "MOORAGE_SERVER_HOST": "10.0.0.2"}
    found = loaded(text, env=env, flags={"server.port": 1003, "server.host": None})
    server = found.config.server
    assert (server.port, server.host, server.processes, server.queue_timeout) == (1003, "10.0.0.2", 2, 60.0)
    assert dict(found.sources) == {
        "server.port": "command line",
        "server.host": "MOORAGE_SERVER_HOST",
        "server.processes": "moorage.yaml:1",
        "auth.allow_anonymous": "moorage.yaml:2",
    }


def test_every_single_option_has_a_variable_of_its_own() -> None:
    named = [option.environment for option in options(Config) if option.environment]
    assert len(named) == len(set(named))
    assert environment_options()["MOORAGE_MONITORING_METRICS_ENABLED"].name == "monitoring.metrics.enabled"
    env = {
        "MOORAGE_SERVER_TOTAL_TIMEOUT": "1h",
        "MOORAGE_SERVER_MAX_REQUEST_SIZE": "1MB",
        "MOORAGE_MONITORING_METRICS_ENABLED": "false",
        "MOORAGE_LOGGING_LEVEL": "debug",
        "MOORAGE_STATE_DIR": "/state",
        "MOORAGE_SERVER_PORT": "",
    }
    config = loaded("", env=env).config
    assert (config.server.total_timeout, config.server.max_request_size, config.server.port) == (3600.0, 1024**2, 8000)
    assert (config.monitoring.metrics.enabled, config.logging.level) == (False, "debug")
    assert config.state_dir == Path("/state")


def test_which_file_is_read(tmp_path: Path) -> None:
    for name, port in (("moorage.yaml", 1), ("other.yaml", 2), ("named.yaml", 3)):
        (tmp_path / name).write_text(f"server: {{port: {port}}}")
    env = {**HOME, "MOORAGE_CONFIG": "other.yaml"}
    assert load("named.yaml", environ=env).config.server.port == 3
    assert load(environ=env).config.server.port == 2
    assert load(environ=HOME).config.server.port == 1
    (tmp_path / "other.yaml").unlink()
    with pytest.raises(ConfigError, match=r"MOORAGE_CONFIG: other.yaml: there is no such file"):
        load(environ=env)


def test_a_dangling_link_is_not_taken_for_no_file(tmp_path: Path) -> None:
    (tmp_path / "moorage.yaml").symlink_to("gone")
    with pytest.raises(ConfigError, match="there is no such file"):
        load(environ=HOME)


def test_the_list_of_models_may_stand_alone() -> None:
    models = "[{name: a, source: ./a.gguf}, {name: b, source: ./b.gguf, aliases: [c]}]"
    assert loaded(f"models: {models}").config == loaded(f"models: {{local: {models}}}").config
    assert loaded("models: []").config.models.local == ()
    flagged = loaded(f"models: {models}", flags={"models": [{"name": "f", "source": "f"}]})
    assert [model.name for model in flagged.config.models.local] == ["f"]
    assert flagged.sources["models.local[0].name"] == "command line"


def test_two_spellings_are_one_setting() -> None:
    assert loaded("server: {http: {port: 9, max_request_size: 1MB}}").config.server.port == 9
    assert loaded("server: {port: 9, http: {port: '9'}}").config.server.port == 9
    assert (
        loaded("server: {max_request_size: 1MB, http: {max_request_size: 1024KB}}").config.server.max_request_size
        == 1024**2
    )
    assert loaded("server: {http: {port: 9}}", flags={"server.port": 10}).config.server.port == 10
    assert loaded("server: {http: {port: '${P}'}}", env={"P": "11"}).config.server.port == 11
    assert refusal("server:\n  port: 9\n  http:\n    port: 10\n") == (
        "moorage.yaml:3: server.port and server.http.port are one setting with two different values; keep one"
    )
    assert "server.http.enabled: false will not do; it should be true" in refusal("server: {http: {enabled: false}}")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("- a", "holds a list at its top; it should hold sections: server, auth, models"),
        ("just text", "holds this text at its top"),
        ("server: 5", "moorage.yaml:1: server: a number will not do; it should be a section"),
        ("server: [a]", "server: a list will not do"),
        ("server: {prot: 1}", "server.prot: unknown option; did you mean server.port?"),
        ("servre: {}", "servre: unknown option; did you mean server?"),
        ("port: 1", "port: unknown option; did you mean server.port?"),
        ("server: {request-timeout: 1s}", "did you mean server.request_timeout?"),
        ("models: [{name: a, source: b, max_model_len: 5}]", "did you mean models.local[].options.max_model_len?"),
        ("zzz: 1", "zzz: unknown option; the top may have server, auth"),
        ("server: {port: abc}", "server.port: 'abc' will not do; it should be a whole number"),
        ("server: {port: 70000}", "server.port: 70000 will not do; it should be at most 65535"),
        ("server: {port: -1}", "it should be at least 0"),
        ("server: {port: 1.5}", "it should be a whole number"),
        ("server: {port: true}", "server.port: true will not do; it should be a number"),
        ("server: {port: {a: 1}}", "server.port: a section will not do; it should be a whole number"),
        ("server: {host: 5}", "server.host: 5 will not do; it should be text"),
        ("server: {host: 'a b'}", "'a b' will not do; it should be a host"),
        ("server: {request_timeout: soon}", "'soon' will not do; it should be a duration; write it like 30s"),
        ("server: {request_timeout: 0}", "0 will not do; it should be a duration above 0"),
        ("server: {max_request_size: -5}", "-5 will not do; it should be a size"),
        ("logging: {level: loud}", "'loud' will not do; it should be debug, info, warning or error"),
        ("logging: {output: file}", "logging.output is file, so logging.file_path must say which"),
        ("logging: {file_path: ~nobody-such/x}", "it should be a path below a known home"),
        ("monitoring: {metrics: {enabled: maybe}}", "'maybe' will not do; it should be true or false"),
        ("models: {local: {}}", "models.local: a section will not do; it should be a list"),
        ("models: [a]", "models.local[0]: this text will not do; it should be a section"),
        ("models: [{source: b}]", "models.local[0].name: is required"),
        ("models: [{name: '', source: b}]", "it should be text of at least 1 character"),
        ("models: [{name: ' x', source: b}]", "it should be text that matches"),
        ("models: [{name: a, source: 'https://x/y'}]", "models.local[0]: a source on the web needs sha256"),
        ("models: [{name: a, source: b, replicas: 65}]", "it should be at most 64"),
        ("models: [{name: a, source: b, options: {extra_args: {x: {}}}}]", "should be text, a number, true or false"),
        ("models: [{name: a, source: b, options: {devices: [-1]}}]", "an index like 0, or a UUID"),
        ("models: [{name: a, source: b, options: {rope_scaling: {type: yarn, factor: 1}}}]", "more than 1"),
        ("models: [{name: a, source: b}, {name: a, source: c}]", "by models.local[0] (a) and models.local[1] (a)"),
        ("models: [{name: a, source: b, aliases: [d]}, {name: c, source: c, aliases: [d]}]", "name 'd' is claimed"),
        ("auth: {keys: abc}", "auth.keys: this text will not do; it should be a list"),
        ("auth: {keys: [12345]}", "auth.keys[0]: a number will not do; it should be text"),
        ("auth: {keys: ['']}", "auth.keys[0]: a key is 1 to 1000 printable ASCII characters"),
        ("auth: {keys: [{name: a}]}", "auth.keys[0].key: is required"),
        ("auth: {keys: [a, {name: b, key: a}]}", "auth.keys[0] and auth.keys[1] are the same key"),
        ("auth: {keys: [{name: a, key: b}, {name: a, key: c}]}", "auth.keys[0] and auth.keys[1] have the same name"),
    ],
)
def test_what_is_refused(text: str, wanted: str) -> None:
    message = refusal(text)
    assert wanted in message
    assert message.startswith("moorage.yaml")
    assert "\n" not in message


def test_all_problems_are_told_at_once_and_where() -> None:
    text = (
        "server:\n  prot: 1\n  port: ${P}\nauth:\n  keys: 5\nmodels:\n- name: a\n- {name: b, source: c, task: dance}\n"
    )
    message = refusal(text, env={"MOORAGE_LOGGING_LEVEL": "loud"}, flags={"server.processes": 0})
    assert message.splitlines() == [
        "7 problems in the configuration:",
        "  command line: server.processes: 0 will not do; it should be at least 1",
        "  MOORAGE_LOGGING_LEVEL: logging.level: 'loud' will not do; it should be debug, info, warning or error",
        "  moorage.yaml:2: server.prot: unknown option; did you mean server.port?",
        "  moorage.yaml:3: server.port: the variable P is not set; set it, or write ${P:-default}",
        "  moorage.yaml:5: auth.keys: a number will not do; it should be a list",
        "  moorage.yaml:7: models.local[0]: say source, where the weights come from, or url, a server that answers "
        "for the model",
        "  moorage.yaml:8: models.local[1].task: 'dance' will not do; it should be auto, generate, embed, rerank, "
        "classify or transcribe",
    ]


def test_a_flood_of_problems_is_cut() -> None:
    message = refusal("models:\n" + "- {}\n" * 100)
    assert message.splitlines()[0] == "200 problems in the configuration:"
    assert message.splitlines()[-1] == "  and 150 more"


def test_variables_everywhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-file\n")
    (tmp_path / ".env").write_text("NAME=from-dotenv\nMOORAGE_SERVER_PROCESSES=3\nPORT=1\n")
    text = "\n".join(
        [
            "server: {port: '${PORT}', request_timeout: '${T:-90s}'}",
            "auth: {keys: ['${KEY}', {name: two, key: '${file:secret}'}]}",
            "models:",
            "- {name: '${NAME}', source: 'x$$y', aliases: ['a-${PORT}'], options: {extra_args: {deep: '${PORT}'}}}",
        ]
    )
    found = loaded(text, env={"PORT": "7000", "KEY_FILE": "secret2"} | {"KEY": "from-env"})
    config = found.config
    assert (config.server.port, config.server.request_timeout, config.server.processes) == (7000, 90.0, 3)
    assert [key.key.get_secret_value() for key in config.auth.keys] == ["from-env", "from-file"]
    model = config.models.local[0]
    assert (model.name, model.source, model.aliases) == ("from-dotenv", "x$y", ("a-7000",))
    assert model.options.extra_args == {"deep": "7000"}
    assert found.hidden == {"auth.keys[1].key"}


def test_unset_variables_are_named_where_they_stand() -> None:
    assert refusal("models:\n- name: ${A}\n  source: b\n  aliases: [x, '${B}']\n").splitlines()[1:] == [
        "  moorage.yaml:2: models.local[0].name: the variable A is not set; set it, or write ${A:-default}",
        "  moorage.yaml:4: models.local[0].aliases[1]: the variable B is not set; set it, or write ${B:-default}",
    ]


def test_what_variables_hold_is_not_shown_in_errors() -> None:
    message = refusal(
        "server: {port: '${WRONG}', queue_timeout: '${WRONG}', host: '${WRONG}'}", env={"WRONG": "hunter two"}
    )
    assert "hunter" not in message
    assert message.count("'${WRONG}' will not do") == 3


def test_the_key_of_the_environment_is_one_more(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    keys = loaded("auth: {keys: [a]}", env={"MOORAGE_API_KEY": "b"}).config.auth.keys
    assert [(key.name, key.key.get_secret_value()) for key in keys] == [("key-1", "a"), ("environment", "b")]
    keys = loaded("", env={"MOORAGE_API_KEY_FILE": "key"}).config.auth.keys
    assert [key.key.get_secret_value() for key in keys] == ["from-file"]
    assert len(loaded("auth: {keys: [{name: x, key: b}]}", env={"MOORAGE_API_KEY": "b"}).config.auth.keys) == 1
    assert loaded("", env={"MOORAGE_API_KEY": ""}).config.auth.keys == ()
    assert "MOORAGE_API_KEY_FILE: nowhere: there is no such file" in refusal(
        "", env={"MOORAGE_API_KEY_FILE": "nowhere"}
    )
    assert refusal("", env={"MOORAGE_API_KEY": "a b"}) == (
        "MOORAGE_API_KEY: auth.keys[0].key: a key is 1 to 1000 printable ASCII characters without spaces"
    )


def test_warnings(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("what is this\n")
    env = {
        "MOORAGE_SERVER_PROT": "1",
        "MOORAGE_SERVER_PORT": "tcp://10.0.0.1:8000",
        "MOORAGE_SERVICE_HOST": "10.0.0.1",
        "MOORAGE_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "MOORAGE_HARBOUR": "blue",
    }
    found = loaded("logging: {file_path: /tmp/x}", env=env)
    assert found.warnings == (
        ".env:1: not of the form NAME=value; the line is left out",
        "MOORAGE_SERVER_PORT looks like what Kubernetes sets for a service; it is left out",
        "MOORAGE_SERVER_PROT sets nothing; did you mean MOORAGE_SERVER_PORT?",
        "logging.file_path counts only when logging.output is file",
    )
    assert found.config.server.port == 8000


def test_a_user_without_a_home_is_told() -> None:
    with pytest.raises(ConfigError, match="set cache_dir or MOORAGE_CACHE_DIR"):
        load(environ={})
    assert load(environ={"MOORAGE_CACHE_DIR": "/c", "XDG_STATE_HOME": "/s"}).config.state_dir == Path("/s/moorage")


SECRET = "Zq7-secret-Zq7"


shapes = st.recursive(
    st.sampled_from([SECRET, f"${{V}}{SECRET}", f"${{{SECRET}", "${V}", f"${{V:-{SECRET}}}", 5, None, True]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "key", "keys", "kee", "allow_anonymous", SECRET]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(auth=shapes, host=st.sampled_from(["127.0.0.1", "${V}"]), flow=st.booleans())
def test_secrets_are_in_no_error_and_no_repr(auth: object, host: str, flow: bool) -> None:
    text = yaml.safe_dump({"auth": auth, "server": {"host": host, "port": "${V}"}}, default_flow_style=flow)
    told = outcome(text, {"V": f"v {SECRET}", "MOORAGE_API_KEY": SECRET})
    assert SECRET not in told


names = st.sampled_from([option.path[-1] for option in options(Config)])
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(st.recursive(values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner), max_leaves=12))
def test_any_document_is_taken_or_refused(document: object) -> None:
    assert outcome(json.dumps(document), {})


def outcome(text: str, env: Mapping[str, str]) -> str:
    """What there is to see of a configuration: its repr, or why it is refused."""
    try:
        return repr(loaded(text, env=env))
    except ConfigError as error:
        return f"{error.message}{error.__cause__ or ''}"

from typing import Any

from moorage.config.reload import Reload, compare
from moorage.config.tree import Config

A = {"name": "a", "source": "a.gguf"}
B = {"name": "b", "source": "b.gguf"}


def change(old: dict[str, Any], new: dict[str, Any]) -> Reload:
    return compare(Config.model_validate(old), Config.model_validate(new))


def test_nothing_changes() -> None:
    found = change({"models": [A, B]}, {"models": {"local": [B, A]}})
    assert found.empty
    assert found.refusal is None


def test_models_come_go_and_change() -> None:
    found = change({"models": [A, B]}, {"models": [{**B, "replicas": 2}, {**A, "name": "c"}]})
    assert [model.name for model in found.added] == ["c"]
    assert [model.name for model in found.removed] == ["a"]
    assert [(model.name, model.replicas) for model in found.changed] == [("b", 2)]
    assert (found.settings, found.needs_restart, found.refusal) == ((), (), None)


def test_settings_that_may_change() -> None:
    new = {
        "server": {"request_timeout": "1m", "http": {"max_request_size": "1MB"}},
        "auth": {"keys": ["a"]},
        "workers": {"queue_size": 5},
    }
    found = change({}, new)
    assert found.settings == ("server.request_timeout", "server.max_request_size", "auth.keys", "workers.queue_size")
    assert found.refusal is None
    assert not found.empty


def test_a_changed_key_is_a_change() -> None:
    assert change({"auth": {"keys": ["a"]}}, {"auth": {"keys": ["b"]}}).settings == ("auth.keys",)


def test_what_is_read_only_at_start_refuses_the_whole() -> None:
    new = {"server": {"host": "::1", "port": 1, "processes": 2}, "state_dir": "/x", "models": [A]}
    found = change({}, new)
    assert found.needs_restart == ("server.host", "server.port", "server.processes", "state_dir")
    assert found.refusal == (
        "server.host, server.port, server.processes, state_dir cannot change while the server runs: "
        "leave it as it was, or restart the server"
    )


def test_the_last_key_of_an_open_door_cannot_go() -> None:
    server = {"host": "0.0.0.0"}
    found = change({"server": server, "auth": {"keys": ["a"]}}, {"server": server})
    assert found.refusal is not None
    assert "auth.keys" in found.refusal


def test_ports_of_models_are_bound_once() -> None:
    port = {**A, "port": 8001}
    for old, new in (([A], [port]), ([port], [A]), ([port], [{**A, "port": 8002}]), ([port], [B]), ([], [port])):
        found = change({"models": old}, {"models": new})
        assert found.refusal is not None
        assert found.refusal.startswith("the port of model 'a' cannot change while the server runs")
    assert change({"models": [port]}, {"models": [B, {**port, "replicas": 2}]}).refusal is None

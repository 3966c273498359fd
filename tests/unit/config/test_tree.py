from pathlib import Path

import pytest
from pydantic import ValidationError

from moorage.config.address import is_loopback
from moorage.config.options import options
from moorage.config.places import default_cache_dir, default_state_dir
from moorage.config.tree import ApiKey, Auth, Config, Server, access_problem, listeners
from moorage.errors import ConfigError


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST", "::ffff:127.0.0.1"]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1%lo", "example.org", "127.1", "localhost.example.org"],
)
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_no_open_door_without_a_word() -> None:
    open_door = Server(host="0.0.0.0")
    key = ApiKey.model_validate({"name": "a", "key": "s3cret"})
    problem = access_problem(Config(server=open_door))
    assert problem is not None
    for way in ("'0.0.0.0'", "auth.keys", "MOORAGE_API_KEY", "auth.allow_anonymous"):
        assert way in problem
    assert access_problem(Config()) is None
    assert access_problem(Config(server=open_door, auth=Auth(keys=(key,)))) is None
    assert access_problem(Config(server=open_door, auth=Auth(allow_anonymous=True))) is None


def test_the_tree_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().server.port = 1


def test_every_option_is_documented() -> None:
    undocumented = [option.name for option in options(Config) if not option.field.description and not option.section]
    sections = [option.name for option in options(Config) if option.section and not option.section.__doc__]
    assert undocumented == []
    assert sections == []


def test_every_default_is_what_a_file_may_say() -> None:
    for option in options(Config):
        if option.default is not None and "*" not in option.path:
            written: object = option.default
            for part in reversed(option.path):
                written = {part: written}
            assert Config.model_validate(written) == Config(), option.name


def test_folders_follow_the_environment() -> None:
    home = {"HOME": "/h"}
    assert default_state_dir(home) == Path("/h/.local/state/moorage")
    assert default_cache_dir(home | {"XDG_CACHE_HOME": "relative"}) == Path("/h/.cache/moorage")
    assert default_cache_dir(home | {"XDG_CACHE_HOME": "/x"}) == Path("/x/moorage")
    assert default_state_dir(home | {"XDG_STATE_HOME": "/x", "MOORAGE_STATE_DIR": "/own"}) == Path("/own")
    with pytest.raises(ConfigError, match="set state_dir or MOORAGE_STATE_DIR"):
        default_state_dir({"HOME": ""})


A = {"name": "a", "source": "a.gguf"}
B = {"name": "b", "source": "b.gguf"}


def test_ports_of_single_models() -> None:
    config = Config.model_validate({"server": {"host": "::1"}, "models": [{**A, "port": 8001}, B, {**B, "name": "c"}]})
    assert [(one.option, one.host, one.port, one.model) for one in listeners(config)] == [
        ("server", "::1", 8000, ""),
        ("models.local[0]", "::1", 8001, "a"),
    ]


@pytest.mark.parametrize(
    ("server", "first", "second", "words"),
    [
        ({"port": 8001}, {"port": 8001}, {}, "models.local[0].port and server.port are both 8001"),
        ({}, {"port": 8000}, {}, "models.local[0].port and server.port are both 8000"),
        ({}, {"port": 8001}, {"port": 8001}, "models.local[1].port and models.local[0].port are both 8001"),
        ({}, {"port": 8000, "host": "0.0.0.0"}, {}, "both 8000"),
        ({"host": "::"}, {"port": 8000, "host": "::1"}, {}, "both 8000"),
        ({}, {"host": "::1"}, {}, "set port too"),
        ({}, {"port": 65536}, {}, "65535"),
        ({}, {"port": 8001, "host": "a b"}, {}, "not a host"),
    ],
)
def test_ports_that_cannot_be(
    server: dict[str, object], first: dict[str, object], second: dict[str, object], words: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        Config.model_validate({"server": server, "models": [{**A, **first}, {**B, **second}]})
    assert words in str(refused.value)


def test_ports_that_can_be() -> None:
    """Any number of free ones, and one number on two addresses."""
    Config.model_validate({"server": {"port": 0}, "models": [{**A, "port": 0}, {**B, "port": 0}]})
    Config.model_validate({"models": [{**A, "port": 8000, "host": "127.0.0.2"}, {**B, "port": 8000, "host": "::1"}]})


def test_a_models_port_opens_no_door_without_a_word() -> None:
    model = {**A, "port": 8001, "host": "0.0.0.0"}
    problem = access_problem(Config.model_validate({"models": [B, model]}))
    assert problem is not None
    assert "models.local[1].host is '0.0.0.0'" in problem
    assert access_problem(Config.model_validate({"models": [model], "auth": {"keys": ["s3cret"]}})) is None

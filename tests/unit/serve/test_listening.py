import socket

import pytest

from moorage.config.tree import Listener
from moorage.errors import ConfigError
from moorage.serve.listening import bind_all


def test_each_port_knows_its_model() -> None:
    bound = bind_all([Listener("server", "127.0.0.1", 0), Listener("models.local[0]", "127.0.0.1", 0, "a")])
    try:
        assert [one.model for one in bound] == ["", "a"]
        assert len({one.url for one in bound}) == 2
        assert all(one.socket.get_inheritable() for one in bound)
    finally:
        for one in bound:
            one.socket.close()


def test_all_or_none_and_the_owner_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free = probe.getsockname()[1]
        with pytest.raises(ConfigError) as refused:
            bind_all([Listener("server", "127.0.0.1", free), Listener("models.local[2]", "127.0.0.1", taken, "b")])
    assert f"port {taken} is taken by " in refused.value.message
    assert refused.value.message.endswith("choose another with models.local[2].port")
    with socket.create_server(("127.0.0.1", free)):
        """Let go of again."""


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ConfigError, match=r"models\.local\[0\]\.host '203\.0\.113\.7' is not an address"):
        bind_all([Listener("models.local[0]", "203.0.113.7", 0, "a")])

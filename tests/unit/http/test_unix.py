import socket
import stat
from pathlib import Path

import pytest

from moorage.http.unix import SOCKET_PATH_BYTES, bind_unix


def test_only_its_user_may_open_it_and_a_dead_ones_file_is_replaced(short_tmp: Path) -> None:
    path = short_tmp / "s"
    bind_unix(path).close()
    with bind_unix(path) as listener, socket.socket(socket.AF_UNIX) as client:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        client.connect(str(path))
        assert not listener.getblocking()


def test_the_longest_path(short_tmp: Path) -> None:
    path = f"{short_tmp}/{'x' * (SOCKET_PATH_BYTES - len(str(short_tmp)) - 1)}"
    bind_unix(path).close()
    with pytest.raises(OSError, match="too long"):
        bind_unix(path + "x")

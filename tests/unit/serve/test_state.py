from pathlib import Path

import pytest

from moorage.errors import ConfigError
from moorage.serve.state import State


def test_secrets_are_made_once_and_kept_private(short_tmp: Path) -> None:
    state = State(short_tmp, "8000")
    state.take()
    assert len(state.pepper()) == len(state.token()) == 64
    assert (state.pepper(), state.token()) == (State(short_tmp, "8001").pepper(), state.token())
    for path in (short_tmp / "pepper", state.dir / "token", state.dir / "lock", state.dir):
        assert path.stat().st_mode & 0o077 == 0
    state.release()


@pytest.mark.parametrize("content", [b"", b"\n", b"not hexadecimal", b"\xff\xfe", b"ab"])
def test_what_is_no_secret_is_made_anew(short_tmp: Path, content: bytes) -> None:
    """An empty token would let everybody in; a pepper that is no hexadecimal number would fail every call."""
    state = State(short_tmp, "8000")
    state.take()
    (short_tmp / "pepper").write_bytes(content)
    made = state.pepper()
    assert len(bytes.fromhex(made)) == 32
    assert state.pepper() == made
    assert (short_tmp / "pepper").stat().st_mode & 0o077 == 0
    assert not list(short_tmp.glob("*.part"))
    state.release()


def test_a_secret_that_cannot_be_kept_says_where_and_what_to_do(short_tmp: Path) -> None:
    state = State(short_tmp, "8000")
    state.take()
    (state.dir / "token").mkdir()
    with pytest.raises(ConfigError, match=r"token.*MOORAGE_STATE_DIR"):
        state.token()
    state.release()

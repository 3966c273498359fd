from pathlib import Path

import pytest

from moorage.access.private import write_private


def test_private_files_are_whole_or_absent(short_tmp: Path) -> None:
    path = short_tmp / "secret"
    write_private(path, b"one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(short_tmp.iterdir()) == [path]


def test_what_fails_leaves_nothing(short_tmp: Path) -> None:
    (short_tmp / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_private(short_tmp / "folder", b"one")
    assert list(short_tmp.iterdir()) == [short_tmp / "folder"]

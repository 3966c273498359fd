from pathlib import Path

import pytest

from moorage.worker.record import read_record, record_path


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"fingerprint":"\xff"}'])
def test_a_damaged_record_is_none(tmp_path: Path, content: bytes) -> None:
    record_path(tmp_path).write_bytes(content)
    assert read_record(tmp_path) is None

from pathlib import Path

import pytest

from moorage.models import manifest
from moorage.models.download import read_state
from moorage.models.hubs.stage import Stage

DAMAGED = [b"", b"{", b"[]", b"\xff\xfe", b'{"source":"\xff","file":"a","sha256":"","size_bytes":1,"fetched":""}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_manifest_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / manifest.NAME).write_bytes(content)
    assert manifest.read(tmp_path) is None


@pytest.mark.parametrize("content", [*DAMAGED, b'{"source":"\xff","sha256":null}'])
def test_a_damaged_state_of_a_download_is_none(tmp_path: Path, content: bytes) -> None:
    """The download then begins anew."""
    part = tmp_path / "files.part"
    part.with_name("files.part.json").write_bytes(content)
    assert read_state(part) is None
    assert Stage(tmp_path, "hf:org/name").path == part


@pytest.mark.parametrize(
    ("path", "inside"),
    [("a", True), ("a/b.c", True), ("", False), ("/a", False), ("a//b", False), ("../a", False), ("a/./b", False),
     ("a\\b", False), ("a\nb", False), ("a\x7f", False)],
)  # fmt: skip
def test_paths_from_elsewhere_stay_in_their_folder(path: str, inside: bool) -> None:
    assert manifest.is_inside(path) is inside

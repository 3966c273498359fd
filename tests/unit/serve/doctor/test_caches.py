import os
import time
from pathlib import Path

import pytest

from moorage.serve.doctor.caches import contents, huggingface, look, modelscope


def later() -> float:
    return time.monotonic() + 10


def hub(root: Path) -> Path:
    repository = root / "hub" / "models--org--name"
    for folder in ("blobs", "snapshots/abc", "refs"):
        (repository / folder).mkdir(parents=True)
    (repository / "blobs" / "1").write_bytes(b"x" * 2048)
    (repository / "snapshots" / "abc" / "model.bin").symlink_to("../../blobs/1")
    return repository


def test_where_they_are() -> None:
    home = {"HOME": "/home/ann"}
    assert huggingface(home).path == Path("/home/ann/.cache/huggingface/hub")
    assert huggingface(home | {"HF_HOME": "/data"}).path == Path("/data/hub")
    assert huggingface(home | {"HF_HUB_CACHE": "/hub", "HF_HOME": "/data"}).path == Path("/hub")
    assert modelscope(home).path == Path("/home/ann/.cache/modelscope")
    assert modelscope(home | {"MODELSCOPE_CACHE": "/ms"}).path == Path("/ms")


def test_nothing_there(tmp_path: Path) -> None:
    finding = look(huggingface({"HF_HOME": str(tmp_path)}), later())
    assert (finding.level, finding.what) == ("ok", "Hugging Face: none")


def test_models_are_counted_once(tmp_path: Path) -> None:
    hub(tmp_path)
    finding = look(huggingface({"HF_HOME": str(tmp_path)}), later())
    assert (finding.level, finding.what) == ("ok", "Hugging Face: 1 model, 2.0 KB")
    assert finding.facts["models"] == 1


def test_half_downloads(tmp_path: Path) -> None:
    half = hub(tmp_path) / "blobs" / "2.incomplete"
    half.write_bytes(b"y" * 500)
    cache = huggingface({"HF_HOME": str(tmp_path)})
    finding = look(cache, later())
    assert (finding.level, finding.fix) == ("note", f"rm {half}")
    assert "1 half download (500 bytes)" in finding.detail
    (half.parent / "3.incomplete").touch()
    assert "-path '*.incomplete' -type f -delete" in look(cache, later()).fix


def test_modelscope(tmp_path: Path) -> None:
    for folder in ("models/org/na___me", "hub/models/org--other/snapshots/master", "models/._____temp/org/third"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "weights").write_bytes(b"x" * 10)
    finding = look(modelscope({"MODELSCOPE_CACHE": str(tmp_path)}), later())
    assert finding.facts["models"] == 2
    assert finding.facts["half"] == ["models/._____temp/org/third/weights"]


def test_a_huge_cache_is_counted_as_far_as_time_allows(tmp_path: Path) -> None:
    hub(tmp_path)
    cache = huggingface({"HF_HOME": str(tmp_path)})
    assert contents(cache, time.monotonic() - 1).cut
    assert "more than 0 bytes" in look(cache, time.monotonic() - 1).what


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_one_that_may_not_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    folder.mkdir(mode=0o000)
    assert look(huggingface({"HF_HOME": str(tmp_path)}), later()).level in ("ok", "warning")

import json
import os
import stat
from pathlib import Path

import msgspec
import pytest

from moorage.core.remedies import Remedy
from moorage.worker.remedies import (
    CASES_MAX,
    FILE_BYTES_MAX,
    FILE_NAME,
    REASON_CHARS,
    Case,
    Failed,
    Remedies,
    case,
    read_memory,
)

LESS = Remedy(
    options={"max_model_len": 4096}, instead={"max_model_len": 8192}, cause="it does not fit", signature="x.kv"
)


def of(model: str = "chat", fingerprint: str = "f", version: str = "1", engine: str = "e", files: object = ()) -> Case:
    return case(model=model, fingerprint=fingerprint, version=version, engine=engine, files=files, devices=["b", "a"])


def failed(reason: str = "why", at: float = 1.0) -> Failed:
    return Failed(model="chat", fingerprint="f", generation=2, reason=reason, at=at, signature="x.kv")


def test_what_worked_is_there_for_the_next_worker(tmp_path: Path) -> None:
    Remedies(tmp_path).keep(of(), "chat", "e", (LESS,))
    assert Remedies(tmp_path).recall(of()) == (LESS,)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


@pytest.mark.parametrize("other", [of(fingerprint="g"), of(version="2")])
def test_other_settings_or_another_version_clear_it(tmp_path: Path, other: Case) -> None:
    remedies = Remedies(tmp_path)
    remedies.keep(of(), "chat", "e", (LESS,))
    assert remedies.recall(other) == ()
    assert remedies.recall(of()) == ()
    assert read_memory(tmp_path / FILE_NAME).worked == {}


@pytest.mark.parametrize("other", [of(model="b"), of(engine="f"), of(files=("x", 1))])
def test_another_model_engine_or_file_knows_nothing_of_it(tmp_path: Path, other: Case) -> None:
    remedies = Remedies(tmp_path)
    remedies.keep(of(), "chat", "e", (LESS,))
    assert remedies.recall(other) == ()
    assert remedies.recall(of()) == (LESS,)


def test_what_no_longer_works_is_forgotten(tmp_path: Path) -> None:
    remedies = Remedies(tmp_path)
    remedies.keep(of(), "chat", "e", (LESS,))
    remedies.forget(of())
    assert Remedies(tmp_path).recall(of()) == ()


def test_it_is_bounded(tmp_path: Path) -> None:
    remedies = Remedies(tmp_path)
    for number in range(CASES_MAX + 10):
        remedies.keep(of(model=f"m{number}"), f"m{number}", "e", (LESS,))
        remedies.note_failure(f"r-{number}", failed("x" * 2 * REASON_CHARS, at=number))
    memory = read_memory(tmp_path / FILE_NAME)
    assert (len(memory.worked), len(memory.failed)) == (CASES_MAX, CASES_MAX)
    assert "r-0" not in memory.failed
    assert len(memory.failed[f"r-{CASES_MAX}"].reason) == REASON_CHARS
    assert (tmp_path / FILE_NAME).stat().st_size < FILE_BYTES_MAX


def test_the_last_failure_is_there_until_a_start_succeeds(tmp_path: Path) -> None:
    remedies = Remedies(tmp_path)
    remedies.note_success("chat-0")
    assert not (tmp_path / FILE_NAME).exists()
    remedies.note_failure("chat-0", failed())
    assert read_memory(tmp_path / FILE_NAME).failed == {"chat-0": failed()}
    remedies.note_success("chat-0")
    assert read_memory(tmp_path / FILE_NAME).failed == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe",
        b'{"worked": 3}',
        b'{"worked": {"x": {"case": null}}}',
        b"[" * 100_000,
        b" " * (FILE_BYTES_MAX + 1),
    ],
)
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    remedies = Remedies(tmp_path)
    assert remedies.recall(of()) == ()
    remedies.keep(of(), "chat", "e", (LESS,))
    assert Remedies(tmp_path).recall(of()) == (LESS,)


def test_a_file_from_the_future_is_read_as_far_as_it_is_understood(tmp_path: Path) -> None:
    Remedies(tmp_path).keep(of(), "chat", "e", (LESS,))
    content = json.loads((tmp_path / FILE_NAME).read_bytes())
    content["from_the_future"] = 1
    (tmp_path / FILE_NAME).write_text(json.dumps(content))
    assert Remedies(tmp_path).recall(of()) == (LESS,)


def test_where_it_cannot_be_written_this_worker_still_knows(tmp_path: Path) -> None:
    remedies = Remedies(tmp_path / "gone")
    remedies.keep(of(), "chat", "e", (LESS,))
    assert remedies.recall(of()) == (LESS,)
    assert not (tmp_path / "gone").exists()


def test_a_folder_in_its_place_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    remedies = Remedies(tmp_path)
    assert remedies.recall(of()) == ()
    remedies.note_failure("chat-0", failed())
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_one_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(msgspec.json.encode({"worked": {}}))
    path.chmod(0)
    if os.geteuid() != 0:
        assert read_memory(path).worked == {}
    path.chmod(0o600)
    assert read_memory(path).worked == {}


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_could_have_written_is_not_trusted(tmp_path: Path, mode: int) -> None:
    Remedies(tmp_path).keep(of(), "chat", "e", (LESS,))
    (tmp_path / FILE_NAME).chmod(mode)
    assert Remedies(tmp_path).recall(of()) == ()


@pytest.mark.skipif(os.getuid() != 0, reason="gives a file away")
def test_what_somebody_else_has_written_is_not_trusted(tmp_path: Path) -> None:
    remedies = Remedies(tmp_path)
    remedies.keep(of(), "chat", "e", (LESS,))
    os.chown(tmp_path / FILE_NAME, 65534, -1)
    again = Remedies(tmp_path)
    assert again.recall(of()) == ()
    again.keep(of("embed"), "embed", "e", (LESS,))
    assert Remedies(tmp_path).recall(of("embed")) == (LESS,), "and ours takes its place"


def test_a_link_or_a_pipe_in_its_place_is_not_followed(tmp_path: Path) -> None:
    Remedies(tmp_path).keep(of(), "chat", "e", (LESS,))
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / FILE_NAME).rename(elsewhere)
    (tmp_path / FILE_NAME).symlink_to(elsewhere)
    assert Remedies(tmp_path).recall(of()) == ()
    (tmp_path / FILE_NAME).unlink()
    os.mkfifo(tmp_path / FILE_NAME)
    assert Remedies(tmp_path).recall(of()) == ()

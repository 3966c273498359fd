import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.config.document import MAX_FILE_BYTES, parse, read_text
from moorage.errors import ConfigError


def data(text: str) -> object:
    return parse(text, "moorage.yaml").data


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        parse(text, "moorage.yaml")
    return refused.value.message


def test_values_follow_yaml_1_2() -> None:
    text = (
        "{a: yes, b: on, c: 1:30, d: 012, e: true, f: ~, g: 0x1f, h: 1e3, i: '1', "
        "j: 2024-01-01, k: 0o17, l: -5, m: .5, n: }"
    )
    assert data(text) == {
        "a": "yes", "b": "on", "c": "1:30", "d": 12, "e": True, "f": None, "g": 31, "h": 1000.0, "i": "1",
        "j": "2024-01-01", "k": 15, "l": -5, "m": 0.5, "n": None,
    }  # fmt: skip


def test_nothing_is_nothing() -> None:
    assert data("") is None
    assert data("# only a comment\n") is None


def test_every_value_has_its_place() -> None:
    document = parse("server:\n  port: 1\nmodels:\n  - name: a\n", "moorage.yaml")
    assert document.place(("server", "port")) == (2, 3)
    assert document.place(("models", 0, "name")) == (4, 5)
    assert document.place(("models", 0, "source")) == (4, 5)
    assert document.place(("nothing",)) == (1, 1)


def test_anchors_and_merged_sections() -> None:
    text = "a: &fast {threads: 2, x: 1}\nb: {<<: *fast, x: 2}\nc: *fast\nd: {<<: [{x: 3}, *fast]}"
    fast = {"threads": 2, "x": 1}
    assert data(text) == {"a": fast, "b": {"threads": 2, "x": 2}, "c": fast, "d": {"threads": 2, "x": 3}}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: 1\nb: 2\na: 3", "moorage.yaml:3:1: a key that line 1 has already"),
        ("a: [1, 2", "not YAML: "),
        ("a: 'x", "not YAML: found unexpected end of stream"),
        ("a: b: c", "moorage.yaml:1:5: not YAML: mapping values are not allowed"),
        ("a: \0", "not YAML"),
        ("a: !!python/object/apply:os.system [id]", "moorage.yaml:1:4: a tag"),
        ("a: *b", "moorage.yaml:1:4: an alias (*) without its anchor"),
        ("a: &a [*a]", "an alias (*) without its anchor"),
        ("--- 1\n--- 2", "moorage.yaml:2:1: a second document"),
        ("? [a]\n: 1", "a key must be plain text"),
        ("<<: 5", "<< takes a section"),
        ("[" * 100, "nested deeper than 64 levels"),
        ("a: " * 1 + "{a: " * 100, "nested deeper than 64 levels"),
    ],
)
def test_what_is_refused(text: str, wanted: str) -> None:
    assert wanted in refusal(text)


def test_aliases_cannot_blow_up() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    assert "more than 100000 values" in refusal("\n".join(lines))


SECRET = "hunter2-verysecret"


@pytest.mark.parametrize(
    "text",
    [
        f"a: *{SECRET}",
        f"a: !{SECRET} x",
        f"a: @{SECRET}",
        f'a: "\\q{SECRET}"',
        f"{SECRET}: 1\n{SECRET}: 2",
        f"a: {SECRET}: x",
        f"a: &{SECRET} [*{SECRET}]",
        f"a: '{SECRET}",
        f"a: [{SECRET}",
        f"{SECRET}\nb: 1",
    ],
)
def test_errors_do_not_repeat_the_document(text: str) -> None:
    assert SECRET not in refusal(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ConfigError):
        parse(text, "moorage.yaml")


def unreadable(path: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        read_text(path)
    assert str(path) in refused.value.message
    return refused.value.message


def test_what_cannot_be_read(tmp_path: Path) -> None:
    big, binary, pipe = tmp_path / "big", tmp_path / "binary", tmp_path / "pipe"
    big.write_bytes(b"#" * (11 * 1024 * 1024))
    binary.write_bytes(b"\x7fELF\xff\xfe\x00")
    os.mkfifo(pipe)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "there is no such file" in unreadable(tmp_path / "missing")
    assert "is a folder" in unreadable(tmp_path)
    assert "is larger than 1024 KB" in unreadable(big)
    assert "is not UTF-8 text (byte 4)" in unreadable(binary)
    assert "is not a regular file" in unreadable(pipe)
    assert "cannot be opened" in unreadable(tmp_path / "loop")
    assert "cannot be opened" in unreadable(binary / "below")
    assert "is not a regular file" in unreadable(Path("/dev/zero"))


def test_a_name_with_a_null_byte_is_refused() -> None:
    assert "cannot be opened" in unreadable(Path("a\0b"))


def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "moorage.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(65534)
    try:
        message = unreadable(path)
    finally:
        if superuser:
            os.seteuid(0)
    assert "cannot be opened: Permission denied" in message


def test_the_largest_file_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "moorage.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + b"#" * (MAX_FILE_BYTES - 3))
    assert read_text(path) == "#" * (MAX_FILE_BYTES - 3)

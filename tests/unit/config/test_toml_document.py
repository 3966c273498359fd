import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.config.toml_document import parse_toml
from moorage.errors import ConfigError

TEXT = """\
command = "serve"   # line 1

[server]
port = 1234
"quoted key" = 1

[[models]]
model_id = "a"
[models.format]
quantized_file = "x.gguf"

[[models]]
model_id = "b"
note = '''
[server]
port = 5
'''
device.cpu = true
adapter = { lora = [ { alias = "c" } ] }
"""


def test_keys_have_their_lines() -> None:
    document = parse_toml(TEXT, "c.toml")
    assert document.data["models"][1]["device"] == {"cpu": True}
    assert document.place(("command",)) == (1, 1)
    assert document.place(("server", "port")) == (4, 1)
    assert document.place(("server", "quoted key")) == (5, 1)
    assert document.place(("models", 0, "format", "quantized_file")) == (10, 1)
    assert document.place(("models", 1, "model_id")) == (13, 1)
    assert document.place(("models", 1, "device", "cpu")) == (18, 1)
    assert document.place(("models", 1, "adapter", "lora", 0, "alias")) == (19, 1)
    assert document.place(("nothing",)) == (1, 1)


def test_lines_end_as_windows_ends_them() -> None:
    document = parse_toml(TEXT.replace("\n", "\r\n"), "c.toml")
    assert document.place(("server", "port")) == (4, 1)


def test_times_are_text() -> None:
    assert parse_toml("a = 2026-01-01\nb = [07:30:00]", "c.toml").data == {"a": "2026-01-01", "b": ["07:30:00"]}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            'a = "C:\\models"',
            "c.toml:1:10: not TOML: a backslash that TOML does not know; write Windows paths in single",
        ),
        ("a = 1\nb = ", "c.toml:2: not TOML: invalid value"),
        ("a = 1\na = 2", "not TOML: cannot overwrite a value"),
        ("a = auto", "c.toml:1:5: not TOML: invalid value"),
        ("a: 1", "c.toml:1:2: not TOML: expected"),
        ("a = " + "[" * 5000, "not TOML"),
        ("a = " + "9" * 5000, "not TOML"),
    ],
)
def test_what_is_refused(text: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_toml(text, "c.toml")
    assert wanted in refused.value.message


@given(st.text(alphabet="[]{}=,.\"'ab1 \n#"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        document = parse_toml(text, "c.toml")
    except ConfigError:
        return
    lines = text.count("\n") + 1
    assert all(1 <= line <= lines for line, _ in document.places.values())

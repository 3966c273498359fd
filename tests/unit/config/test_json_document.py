import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.config.json_document import parse_json
from moorage.errors import ConfigError

SECRET = "hunter2-verysecret"


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        parse_json(text, "models.json")
    return refused.value.message


def test_every_value_has_its_place() -> None:
    document = parse_json('{"models": {\n\t"chat": {"port": 1},\r\n  "b": [1,\n {"c": null}]}}', "models.json")
    assert document.data == {"models": {"chat": {"port": 1}, "b": [1, {"c": None}]}}
    assert document.place(("models", "chat")) == (2, 2)
    assert document.place(("models", "chat", "port")) == (2, 11)
    assert document.place(("models", "b", 1, "c")) == (4, 3)
    assert document.place(("models", "b", 1, "d")) == (4, 2)


def test_nothing_is_nothing() -> None:
    assert parse_json("", "models.json").data is None
    assert parse_json(" \n", "models.json").data is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"a": 1,\n}', "models.json:1:8: not JSON: a comma before }; JSON has none after the last entry"),
        ("[1, 2,]", "a comma before ]; JSON has none after the last entry"),
        ('{\n  // ports\n  "a": 1}', "models.json:2:3: not JSON: JSON has no comments; remove it"),
        ('{"a": 1 # one\n}', "models.json:1:9: not JSON: JSON has no comments"),
        ('{"a": /* one */ 1}', "JSON has no comments"),
        (
            '{"path": "C:\\models\\chat"}',
            "models.json:1:13: not JSON: a backslash that JSON does not know; write Windows",
        ),
        ('{"path": "F:\\nets\\chat"}', "a backslash that JSON does not know"),
        ("{'a': 1}", "models.json:1:2: not JSON: single quotes; JSON takes double ones"),
        ("{\"a\": 'b'}", "single quotes; JSON takes double ones"),
        ("{a: 1}", "a key without quotes"),
        ('{"a": True}', "True is Python's word; JSON's is true"),
        ('{"a": None}', "None is Python's word; JSON's is null"),
        ('{"a": auto}', "text without quotes"),
        ('{"a": 1 "b": 2}', "models.json:1:9: not JSON: a comma or } should stand here"),
        ('{"a": 1\n "b": 2}', "models.json:2:2: not JSON: a comma or } should stand here"),
        ('{"a" 1}', "a colon should follow the key"),
        ('{"a": "b\nc"}', "text that is not closed on its line"),
        ('{"a": {"b": 1}', "the file ends before its last }"),
        ('{"a": 1}}', "something follows the document"),
        ('{"a": 1,\n "a": 2}', "models.json:2:2: not JSON: a key that line 1 has already"),
        ('{"a": 01}', "a value should stand here"),
        ('{"a": .5}', "a value should stand here"),
        ('{"a": "\\ud800"}', "half of a character"),
        ("[" * 100, "nested deeper than 64 levels"),
        ("{", "the file ends before its last }"),
        ("{,}", "a key in double quotes should stand here"),
    ],
)
def test_what_people_write_that_is_no_json(text: str, wanted: str) -> None:
    assert wanted in refusal(text)


@pytest.mark.parametrize(
    "text",
    [f'{{"a": "{SECRET}', f'{{"a": {SECRET}}}', f'{{"a": "{SECRET}" "b"}}', f"{{'{SECRET}': 1}}", f'"\\x{SECRET}"'],
)
def test_the_document_is_not_repeated(text: str) -> None:
    assert SECRET not in refusal(text)


values = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    values | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(documents, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_it_reads_what_others_write(document: object, indent: int | str | None, ascii_only: bool) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    assert parse_json(text, "x.json").data == document


@given(st.text(alphabet='{}[]",:\\ \n0123456789eE+-.tfnaru/#'))
def test_any_text_is_read_as_others_read_it_or_refused(text: str) -> None:
    try:
        data = parse_json(text, "x.json").data
    except ConfigError:
        return
    assert not text.strip() or data == json.loads(text)

import json

import pytest

from moorage.cli.output import fail, print_json, print_table, warn
from moorage.errors import MoorageError


def test_a_table_is_aligned_and_every_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "state"), [("a" * 200, "ready"), ("b\x1b[31m\nc", 5)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0] == f"name{' ' * 196}  state"
    assert lines[1] == f"{'a' * 200}  ready"
    assert lines[2] == f"b[31m c{' ' * 193}  5"


def test_an_empty_table_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "state"), [])
    assert capsys.readouterr().out == "name  state\n"


def test_json_is_one_line_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"ä": [1, 2]})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"ä": [1, 2]}


def test_warnings_and_failures_are_not_data(capsys: pytest.CaptureFixture[str]) -> None:
    warn("the tide is low")
    assert capsys.readouterr() == ("", "moorage: warning: the tide is low\n")
    with pytest.raises(MoorageError, match="no harbour"):
        fail("no harbour")

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.config.environment import Environment, read_dotenv
from moorage.config.interpolation import interpolate


def filled(text: str, *, secret: bool = False, **variables: str) -> str:
    result = interpolate(text, Environment(variables, {}), secret=secret)
    assert result.problems == []
    return result.text


def problems(text: str, *, secret: bool = False, **variables: str) -> list[str]:
    return interpolate(text, Environment(variables, {}), secret=secret).problems


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("${A}", "one"),
        ("x${A}y${A}z", "xoneyonez"),
        ("${A:-two}", "one"),
        ("${B:-two}", "two"),
        ("${B:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-two}", "two"),
        ("${B:-${A}}", "one"),
        ("${B:-${C:-x}y}z", "xyz"),
        ("${A:-${UNSET}}", "one"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$5 $A $", "$5 $A $"),
        ("${B:-$$}", "$"),
        ("}", "}"),
        ("${NESTED}", "${A}"),
    ],
)
def test_variables(text: str, wanted: str) -> None:
    assert filled(text, A="one", EMPTY="", NESTED="${A}") == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("${A}", "the variable A is not set; set it, or write ${A:-default}"),
        ("${", "${ begins none of"),
        ("${}", "${ begins none of"),
        ("${1A}", "${ begins none of"),
        ("${A B}", "${ begins none of"),
        ("${A-x}", "${ begins none of"),
        ("${A:-x", "${A:- has no closing brace"),
        ("${A:-${B:-x}", "has no closing brace"),
        ("${file:/x", "${file: has no closing brace"),
        ("${A:-" * 20 + "}" * 20, "more than 8 deep"),
    ],
)
def test_what_cannot_be_filled_in(text: str, wanted: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert wanted in found[0]


def test_each_unset_variable_is_named() -> None:
    assert [problem.split()[2] for problem in problems("${A}${B:-x}${C}")] == ["A", "C"]


def test_secrets_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("s3cret\n")
    assert filled(f"${{file:{secret}}}!") == "s3cret!"
    assert interpolate(f"${{file:{secret}}}", Environment({}, {})).from_file
    assert filled("${KEY}", secret=True, KEY_FILE=str(secret)) == "s3cret"
    assert filled("${KEY}", secret=True, KEY_FILE=str(secret), KEY="real") == "real"


def test_a_file_variable_stands_only_for_secrets(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("never read")
    assert problems("${LOG}", LOG_FILE=str(tmp_path / "log")) == [
        "the variable LOG is not set; set it, or write ${LOG:-default}"
    ]


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "big").write_text("x" * 70_000)
    assert problems(f"${{file:{tmp_path}/none}}") == [f"{tmp_path}/none: there is no such file"]
    assert problems(f"${{file:{tmp_path}/empty}}") == [f"{tmp_path}/empty: is empty"]
    assert problems(f"${{file:{tmp_path}/big}}") == [
        f"{tmp_path}/big: is larger than 64 KB, the most such a file may be"
    ]
    assert "is a folder" in problems("${KEY:-x}", secret=True, KEY_FILE=str(tmp_path))[0]


@given(st.text(alphabet="${}:-AB/file "))
def test_any_text_is_filled_in_or_a_problem(text: str) -> None:
    interpolate(text, Environment({"A": "1"}, {}))


@given(st.text().map(lambda text: text.replace("$", "$$")))
def test_doubled_dollars_are_the_text_itself(text: str) -> None:
    assert filled(text) == text.replace("$$", "$")


def test_a_dotenv_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    lines = [
        "# comment",
        "",
        "A=one",
        "export B = two words # said",
        "C='$not \"touched\" # here'",
        'D="line\\nnext \\"q\\"" # c',
        "E=",
        "F=a#b",
        "not a line",
        "G='open",
    ]
    path.write_text("\n".join(lines))
    variables, warnings = read_dotenv(path)
    assert variables == {
        "A": "one", "B": "two words", "C": '$not "touched" # here', "D": 'line\nnext "q"', "E": "", "F": "a#b",
    }  # fmt: skip
    assert [warning.split(": ")[0] for warning in warnings] == [f"{path}:9", f"{path}:10"]


def test_dotenv_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert read_dotenv(tmp_path / ".env") == ({}, [])
    (tmp_path / ".env").mkdir()
    variables, warnings = read_dotenv(tmp_path / ".env")
    assert variables == {}
    assert "is a folder; its variables are left out" in warnings[0]


def test_the_real_environment_wins() -> None:
    environment = Environment({"A": "real", "EMPTY": ""}, {"A": "file", "B": "file", "EMPTY": "file"})
    assert [environment.get(name) for name in ("A", "B", "EMPTY", "C")] == ["real", "file", "file", None]
    assert [environment.has(name) for name in ("A", "EMPTY", "C")] == [True, True, False]

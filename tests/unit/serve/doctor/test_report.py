import io
from collections.abc import Iterable

import pytest
from rich.console import Console

import moorage
from moorage.serve.doctor.examination import Report
from moorage.serve.doctor.findings import CHECKS, GROUPS, Finding, worst
from moorage.serve.doctor.report import as_json, show, summary

LONG = "/a/very/long/path/" + "folder/" * 12
FINDINGS = (
    Finding(id="system.platform", level="ok", what="Debian GNU/Linux 12 (bookworm)", detail="Linux 6.1"),
    Finding(id="disk.cache", level="warning", what="model files: 1.2 GB free", detail=LONG, fix=f"rm -r {LONG}"),
    Finding(id="ports.listen", level="problem", what="127.0.0.1:8000 is taken", detail="by nginx (7)", fix="kill 7"),
    Finding(id="ports.listen", level="note", what="二つ目の port is free", detail="[bold]markup[/bold]", subject="x"),
)


def report(findings: Iterable[Finding] = FINDINGS) -> Report:
    return Report(findings=tuple(findings), taken_at=1_700_000_000, elapsed_s=1.234)


def screen(width: int) -> list[str]:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, legacy_windows=False)
    show(report(), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_document() -> None:
    document = as_json(report())
    assert document["version"] == moorage.__version__
    assert document["taken"] == "2023-11-14T22:13:20+00:00"
    assert document["level"] == "problem"
    assert document["counts"] == {"ok": 1, "note": 1, "warning": 1, "problem": 1}
    assert document["findings"][2] == {
        "id": "ports.listen",
        "subject": "",
        "group": "ports",
        "level": "problem",
        "what": "127.0.0.1:8000 is taken",
        "detail": "by nginx (7)",
        "fix": "kill 7",
        "facts": {},
    }


def test_every_check_is_of_a_group_that_is_shown() -> None:
    assert {id.partition(".")[0] for id in CHECKS} == set(GROUPS)


def test_the_worst_counts() -> None:
    assert [worst(FINDINGS[:count]) for count in range(4)] == ["ok", "ok", "warning", "problem"]


def test_summary() -> None:
    assert summary(report()) == "1 problem, 1 warning, 1 note, 1 in order; looked at in 1.2 s"
    assert summary(report(FINDINGS[:1])) == "1 in order; looked at in 1.2 s"


@pytest.mark.parametrize("width", [40, 80, 140])
def test_columns_fit_and_commands_stay_whole(width: int) -> None:
    lines = screen(width)
    console = Console(width=width)
    fixes = [line for line in lines if "→" in line]
    assert [line.strip() for line in fixes] == [f"→ rm -r {LONG}".strip(), "→ kill 7"]
    assert all(console.measure(line).maximum <= width for line in lines[:-1] if line not in fixes)
    assert all(line == line.rstrip() for line in lines)


def test_details_stand_in_one_column() -> None:
    lines = screen(140)
    assert lines[0] == "System  ✓ Debian GNU/Linux 12 (bookworm)  Linux 6.1"
    assert lines[1].startswith("Disk    ! model files: 1.2 GB free        /a/very/long/path/")
    assert "Ports   ✗ 127.0.0.1:8000 is taken         by nginx (7)" in lines
    assert "        • 二つ目の port is free           [bold]markup[/bold]" in lines


def test_away_from_a_terminal_a_finding_is_a_line() -> None:
    console = Console(file=io.StringIO(), width=40)
    show(report(), console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[1] == f"Disk          warning  model files: 1.2 GB free        {LONG}"
    assert lines[2].split() == ["->", "rm", "-r", LONG]
    assert len(lines) == 8

"""The doctor's report: for people, aligned and short; for programs, a JSON document of stable shape."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

import moorage
from moorage.serve.doctor.findings import GROUPS, LEVELS, MODEL_GROUPS, Finding, Level, worst

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from moorage.serve.doctor.examination import Report

MARKS: dict[Level, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "note": ("•", "blue"),
    "warning": ("!", "yellow"),
    "problem": ("✗", "red"),
}
"""Sign and colour on a terminal; elsewhere the level's own word."""
TITLES = {**GROUPS, **MODEL_GROUPS}
GAP = 2
WHAT_MOST = 36
WHAT_SHARE = 0.46
"""Of the room: what was found; the rest is for its details."""
FIX = "→ "


def as_json(report: "Report") -> dict[str, Any]:
    """The document of `moorage doctor --json`.

    {version, taken, elapsed_s, level, counts: {ok, note, warning, problem},
     findings: [{id, subject, group, level, what, detail, fix, facts}]}

    `level` is the worst of the findings; `taken` is ISO 8601 in UTC. `id` is one of findings.CHECKS, or `GROUP.fault`,
    `GROUP.unfinished`; with `subject` it is unique. `fix` is empty where nothing is to be mended. `facts` depend on
    the id and may grow.
    """
    return {
        "version": moorage.__version__,
        "taken": datetime.fromtimestamp(report.taken_at, UTC).isoformat(timespec="seconds"),
        "elapsed_s": round(report.elapsed_s, 3),
        "level": worst(report.findings),
        "counts": _counts(report.findings),
        "findings": [_as_dict(finding) for finding in report.findings],
    }


def _as_dict(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "subject": finding.subject,
        "group": finding.group,
        "level": finding.level,
        "what": finding.what,
        "detail": finding.detail,
        "fix": finding.fix,
        "facts": dict(finding.facts),
    }


def _counts(findings: Iterable[Finding]) -> dict[Level, int]:
    counted = Counter(finding.level for finding in findings)
    return {level: counted[level] for level in LEVELS}


def summary(report: "Report") -> str:
    """`1 problem, 2 warnings, 27 in order; looked at in 1.1 s`."""
    counts = _counts(report.findings)
    parts = [
        f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}"
        for level in ("problem", "warning", "note")
        if counts[level]
    ]
    parts.append(f"{counts['ok']} in order")
    return f"{', '.join(parts)}; looked at in {report.elapsed_s:.1f} s"


def show(report: "Report", console: "Console") -> None:
    """Print it: on a terminal in columns that fit, with marks and colours; elsewhere a whole line each, for grep."""
    lines = _drawn(report.findings, console) if _is_screen(console) else _plain(report.findings)
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    level = worst(report.findings)
    style = "bold green" if level == "ok" else f"bold {MARKS[level][1]}"
    console.print()
    console.print(summary(report), style=style, soft_wrap=True, highlight=False, markup=False)


def _is_screen(console: "Console") -> bool:
    return console.is_terminal and console.encoding.lower().startswith("utf")


def _plain(findings: Iterable[Finding]) -> Iterator[str]:
    listed = list(findings)
    width = max((len(_one_line(finding.what)) for finding in listed), default=0)
    for finding in listed:
        group = TITLES.get(finding.group, finding.group)
        what = _one_line(finding.what).ljust(width)
        yield f"{group:<14}{finding.level:<9}{what}  {_one_line(finding.detail)}".rstrip()
        if finding.fix:
            yield f"{'':<14}{'':<9}{FIX.replace('→', '->')}{_one_line(finding.fix)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _drawn(findings: Iterable[Finding], console: "Console") -> Iterator["Text"]:
    listed = list(findings)
    title = max(len(TITLES.get(finding.group, finding.group)) for finding in listed) + GAP
    left = title + 2
    room = max(20, console.width - left)
    widest = max(len(_one_line(finding.what)) for finding in listed)
    what = min(widest, WHAT_MOST, int(room * WHAT_SHARE))
    for group, found in groupby(listed, key=lambda finding: finding.group):
        heading = TITLES.get(group, group)
        for finding in found:
            yield from _rows(finding, heading, (title, what, room - what - GAP), console)
            heading = ""


def _rows(finding: Finding, heading: str, widths: tuple[int, int, int], console: "Console") -> Iterator["Text"]:
    """A finding's lines: what and details side by side, each wrapped in its column; below, unbroken, what mends it."""
    from rich.text import Text

    title, left, right = widths
    mark, colour = MARKS[finding.level]
    grave = finding.level in ("warning", "problem")
    whats = Text(_one_line(finding.what), style=f"bold {colour}" if grave else "").wrap(console, left)
    details = Text(_one_line(finding.detail), style="" if grave else "dim").wrap(console, max(12, right))
    for number in range(max(len(whats), len(details))):
        line = Text().append(f"{heading if number == 0 else '':<{title}}", style="bold")
        line.append(f"{mark if number == 0 else ' '} ", style=colour)
        cell = whats[number] if number < len(whats) else Text()
        line.append_text(cell)
        if number < len(details):
            line.append(" " * (left - cell.cell_len + GAP))
            line.append_text(details[number])
        line.rstrip()
        yield line
    if finding.fix:
        line = Text(" " * (title + 2))
        line.append(f"{FIX}{_one_line(finding.fix)}", style="cyan")
        yield line

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging, sys, structlog
from moorage.telemetry import logs
logs.configure(sys.argv[1], "info", sys.argv[2] or None)
structlog.get_logger("x").info("ours", value=1)
logging.getLogger("aiohttp").info("chatter")
logging.getLogger("moorage.models").info("a file %s", "again")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("asyncio").exception("a task failed")
"""


def written(style: str, path: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", PROGRAM, style, path]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)


def test_libraries_write_into_the_same_log(short_tmp: Path) -> None:
    done = written("json", str(short_tmp / "log"))
    assert (done.stdout, done.stderr) == ("", "")
    lines = [json.loads(line) for line in (short_tmp / "log").read_text().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "ours"),
        ("info", "a file again"),
        ("error", "a task failed"),
    ]
    assert lines[2]["exception"][0]["exc_type"] == "ZeroDivisionError"


def test_for_people_the_trace_stands_below_its_line() -> None:
    done = written("console")
    assert done.stdout == ""
    assert "ours  value=1\n" in done.stderr
    assert "error: a task failed" in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")

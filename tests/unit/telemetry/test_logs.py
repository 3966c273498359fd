import json
import subprocess
import sys
from pathlib import Path

import pytest

from moorage.errors import ConfigError
from moorage.telemetry import logs
from moorage.telemetry.requests import RequestLine, console_line
from moorage.wire.launch import STDOUT

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


def test_standard_output_where_it_is_asked_for() -> None:
    done = written("json", STDOUT)
    assert done.stderr == ""
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["ours", "a file again", "a task failed"]


def test_a_full_disk_costs_lines_and_nothing_else(short_tmp: Path) -> None:
    """And what was lost is told once there is room."""
    program = """
import resource, signal, structlog, sys
from moorage.telemetry import logs
logs.configure("json", "info", sys.argv[1])
log = structlog.get_logger("x")
log.info("before")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
log.info("lost"), log.error("lost, too")
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
log.info("after")
"""
    path = short_tmp / "log"
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=30)
    first, told, last = path.read_text().splitlines()
    assert ("before" in first, "after" in last) == (True, True)
    assert told == "(2 lines of log could not be written here)"


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_terminal_that_is_gone_costs_nothing(style: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-c", PROGRAM, style, ""], stderr=full, timeout=30, check=False)
    assert done.returncode == 0


def test_a_log_file_that_cannot_be_opened_is_a_matter_of_configuration(short_tmp: Path) -> None:
    with pytest.raises(ConfigError, match=r"no-such/log.*No such file or directory.*logging\.file_path"):
        logs.configure("json", "info", str(short_tmp / "no-such" / "log"))


def test_a_callers_words_cannot_write_to_the_terminal(short_tmp: Path) -> None:
    line = RequestLine(
        id="req_1", surface="chat", status=404, outcome="error", model="x\x1b[2J\nforged line", target="", principal="",
        stream=False, attempts=0, elapsed_s=0, queued_s=0, first_token_s=None, prompt_tokens=0, completion_tokens=0,
        counted=False,
    )  # fmt: skip
    shown = console_line(line)
    assert b"\x1b" not in shown
    assert b"\n" not in shown


def test_a_trace_holds_no_values(short_tmp: Path) -> None:
    code = (
        "import structlog; from moorage.telemetry.logs import configure; configure('json', 'info')\n"
        "def fails(key): raise ValueError('broken')\n"
        "try: fails('k3y-' + 'of-somebody')\n"
        "except ValueError: structlog.get_logger().exception('it failed')\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True).stderr
    assert '"fails"' in said
    assert "k3y-of-somebody" not in said

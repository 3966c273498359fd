"""OpenVINO reports on its users by default: nothing of it leaves the machine, and nothing is written of it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.runtimes.runtime import Runtime

pytestmark = pytest.mark.engine

CALLS = "trace=connect,sendto,sendmsg,sendmmsg"
TO_ELSEWHERE = re.compile(r"AF_INET6?\b")


def test_no_packet_leaves_and_the_home_stays_empty(make_runtime: Callable[..., Runtime], tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    home, trace = tmp_path / "home", tmp_path / "trace"
    home.mkdir()
    variables = {name: str(home) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    # Telemetry leaves build servers alone. With -D the process is ours, and strace watches from beside it.
    runtime = make_runtime().start(strace, "-D", "-f", "-e", CALLS, "-o", str(trace), **variables, CI="", BUILD_ID="")
    runtime.ready(100)
    assert runtime.chat("Say hi.", max_tokens=4).status == 200
    runtime.terminate()
    assert runtime.wait() == 0
    said = trace.read_text(errors="replace")
    assert "AF_UNIX" in said, "strace saw nothing at all"
    assert not [line for line in said.splitlines() if TO_ELSEWHERE.search(line)]
    assert not list(home.rglob("*"))

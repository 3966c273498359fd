"""The library sends nothing about its users and keeps no number that tells this machine from others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine

PROGRAM = """
import sys, time
from pathlib import Path
from moorage.runtimes.onnx.graph import build
from moorage.runtimes.onnx.session import Session
Session(build(Path(sys.argv[1])), threads=1, pad_token=0)
time.sleep(0.5)
"""


def test_no_device_number_is_kept(minilm: Path, tmp_path: Path) -> None:
    """With its telemetry on, onnxruntime 1.31 makes `deviceid` and a database of events under ~/.cache at once."""
    kept = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    env = {name: value for name, value in os.environ.items() if name not in kept} | {"HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", PROGRAM, str(minilm)], env=env, check=True, timeout=60)
    assert list(tmp_path.rglob("*")) == []

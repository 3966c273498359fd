import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from moorage.environments.bounded import OUTPUT_BYTES_MAX, run, together

PYTHON = [sys.executable, "-c"]


def test_what_a_program_says_and_how_it_ends() -> None:
    done = run([*PYTHON, "import sys; print('out'); print('a\\nlast ', file=sys.stderr); sys.exit(3)"], 20, os.environ)
    assert (done.code, done.ok, done.out, done.last_words, done.signal_name) == (3, False, "out\n", "last", "")


def test_a_crash_has_a_name() -> None:
    done = run([*PYTHON, "import os, signal; os.kill(os.getpid(), signal.SIGILL)"], 20, os.environ)
    assert (done.code, done.signal_name) == (-4, "SIGILL")


@pytest.mark.parametrize("program", ["/nowhere/docker", "/etc/passwd", "/"])
def test_what_cannot_be_started(program: str) -> None:
    done = run([program], 20, os.environ)
    assert done.code == 127
    assert done.last_words.startswith(f"cannot run {program}: ")


def test_a_program_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    done = run(["sh", "-c", f"sleep 60 & echo $! $$ > {pids}; echo begun; wait"], 0.5, os.environ)
    assert time.monotonic() - began < 10
    assert (done.code, done.out) == (None, "begun\n")
    for pid in pids.read_text().split():
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split():
            assert time.monotonic() - began < 10


def test_endless_output_fills_no_memory() -> None:
    done = run(["sh", "-c", "yes"], 0.7, os.environ)
    assert done.code is None
    assert OUTPUT_BYTES_MAX <= len(done.out) <= OUTPUT_BYTES_MAX + 65536


def test_a_program_that_leaves_its_output_to_another_ends_all_the_same() -> None:
    done = run(["sh", "-c", "sleep 60 & echo $!"], 0.7, os.environ)
    subprocess.run(["kill", done.out.strip()], check=True)
    assert done.code == 0


def test_jobs_in_their_order_without_those_that_are_stuck() -> None:
    stuck = threading.Event()

    def job(number: int) -> int:
        if number == 1:
            stuck.wait(60)
        time.sleep(0.05 * (3 - number))
        return number

    assert together([partial(job, number) for number in range(4)], 1.0) == [0, None, 2, 3]
    stuck.set()


def test_what_a_job_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        together([partial(divmod, 1, 0)], 1.0)

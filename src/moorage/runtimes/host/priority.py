"""How work makes way for others: encoders and speech take what chat streams beside them leave, and a little more.

A stream's reader waits for every token, who sends a recording or texts for the whole; and engines whose threads wait
for each other lose far more than the time that is taken from one of them (docs/guides/benchmarks.md).
"""

import contextlib
import os
import threading
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")


def background(niceness: int) -> None:
    """This thread, and those it starts from now on. Threads that answer callers stay as they are."""
    with contextlib.suppress(OSError):  # a container may forbid it: then all are equal
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def background_session(niceness: int) -> None:
    """Where Linux groups processes by session, niceness counts only inside a group: the group is made nice too.

    Under a keeper, a session holds one engine. Any other session holds more than us, and is left alone.
    """
    if os.getsid(0) == os.getppid():
        with contextlib.suppress(OSError):  # there are no such groups here
            AUTOGROUP.write_text(str(niceness))

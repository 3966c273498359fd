"""Work that may hang: in threads nobody waits for, and in programs that are killed."""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

OUTPUT_BYTES_MAX = 1 << 20


def together(jobs: Iterable[Callable[[], T]], timeout_s: float) -> list[T | None]:
    """The jobs' results, in their order; None for one that did not end in time. Raises what a job raises.

    The threads are daemons: one stuck in a dead file system or name server does not keep the program from ending.
    """
    done: SimpleQueue[tuple[int, Future[T]]] = SimpleQueue()

    def work(number: int, job: Callable[[], T]) -> None:
        future: Future[T] = Future()
        try:
            future.set_result(job())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            future.set_exception(error)
        done.put((number, future))

    listed = list(jobs)
    for number, job in enumerate(listed):
        threading.Thread(target=work, args=(number, job), daemon=True).start()
    results: list[T | None] = [None] * len(listed)
    ends_at = time.monotonic() + timeout_s
    for _ in listed:
        try:
            number, future = done.get(timeout=max(0.0, ends_at - time.monotonic()))
        except Empty:
            break
        results[number] = future.result()
    return results


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    code: int | None
    """Exit code, negative for a signal; None when it was killed because its time was up."""
    out: str
    err: str

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def last_words(self) -> str:
        """The last line it wrote to stderr, else to stdout."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else ""

    @property
    def signal_name(self) -> str:
        """`SIGILL`, … for one that crashed, empty otherwise."""
        if self.code is None or self.code >= 0:
            return ""
        try:
            return signal.Signals(-self.code).name
        except ValueError:
            return f"signal {-self.code}"


def run(argv: Sequence[str], timeout_s: float, environ: Mapping[str, str]) -> Outcome:
    """Run a program to its end, at most so long, keeping at most a megabyte of each output.

    It and all it started are killed when the time is up. One that cannot be started ends with code 127 and the reason.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Outcome(127, "", f"cannot run {argv[0]}: {getattr(error, 'strerror', None) or error}")
    with process:
        in_time = False
        try:
            out, err, in_time = _read(process, time.monotonic() + timeout_s)
        finally:
            if not in_time:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    return Outcome(process.returncode if in_time else None, out, err)


def _read(process: subprocess.Popen[bytes], ends_at: float) -> tuple[str, str, bool]:
    """What it says until it ends; whether that was in time."""
    assert process.stdout is not None
    assert process.stderr is not None
    heard = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe in heard:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() < ends_at:
            for key, _ in selector.select(max(0.0, ends_at - time.monotonic())):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fd)
                elif len(heard[key.fd]) < OUTPUT_BYTES_MAX:
                    heard[key.fd] += chunk
    try:
        process.wait(max(0.0, ends_at - time.monotonic()))
        in_time = True
    except subprocess.TimeoutExpired:
        in_time = False
    out, err = (text.decode(errors="replace") for text in heard.values())
    return out, err, in_time

"""An engine's log file: appended to by the engine itself, kept below a size by its keeper.

Standard library only: the keeper lives with it.
"""

import os
import time

HEADER = "=== generation "


def open_log(path: str) -> int:
    """For appending, mode 0600. A log that cannot be opened (disk, rights) costs the log, not the engine: /dev/null."""
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)


def write_header(log: int, generation: int, argv: list[str]) -> None:
    """One line that divides generations: which, when, what."""
    when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    try:
        os.write(log, f"{HEADER}{generation} {when}: {' '.join(argv)[:2000]}\n".encode(errors="replace"))
    except OSError:  # full disk: the engine runs all the same
        return


def rotate(log: int, path: str, max_bytes: int, keep: int) -> bool:
    """Move the content to `path.1` (and `.1` to `.2`, up to `keep`) once it is larger than `max_bytes`.

    The file itself stays, emptied, because the engine has it open; appending writers go on at its start. Lines written
    in the milliseconds between copy and cut are lost. Where the copy does not fit on the disk the content is dropped:
    a full disk is the worse evil.
    """
    if os.fstat(log).st_size <= max_bytes:
        return False
    try:
        for number in range(keep - 1, 0, -1):
            if os.path.exists(f"{path}.{number}"):
                os.replace(f"{path}.{number}", f"{path}.{number + 1}")
        if keep > 0:
            _copy(path, f"{path}.1")
    except OSError:
        _remove(f"{path}.1")
    os.ftruncate(log, 0)
    return True


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as reader:
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            while chunk := reader.read(1 << 20):
                os.write(out, chunk)
        finally:
            os.close(out)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return

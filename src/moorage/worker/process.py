"""What the keeper does with processes: start one that cannot outlive it, and end all that come from it.

Standard library only, one thread: the keeper lives with it.
"""

import ctypes
import fcntl
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """From now on whatever loses its parent below this process becomes a child of this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def close_inherited() -> None:
    """Close what came from the parent beyond the three standard files: listening sockets must not live on here."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:  # the directory's own descriptor, closed by now
                continue


def open_pipe(size_bytes: int) -> tuple[int, int]:
    """A pipe whose reading end never blocks, as large as the system allows up to `size_bytes`."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reader, False)
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, size_bytes)
    except OSError:  # more than this user may have: the usual size does, too
        return reader, writer
    return reader, writer


def spawn(argv: list[str], env: dict[str, str], cwd: str, output: int) -> int:
    """Start a program in a process group of its own, killed by the kernel when this process dies.

    Reads /dev/null, writes to `output`. A program that cannot be started says so there and exits 127.
    """
    parent = os.getpid()
    ctypes.CDLL(None)  # loaded before the fork: the child only calls it
    pid = os.fork()
    if pid == 0:
        _become(argv, env, cwd, output, parent)
    try:
        os.setpgid(pid, pid)  # both sides do it: whichever comes first, the group exists before it is signalled
    except OSError:  # the child did it, and has already become the program
        return pid
    return pid


def _become(argv: list[str], env: dict[str, str], cwd: str, output: int, parent: int) -> None:
    what = argv[0]
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above: no signal will come
            return
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        what = cwd
        os.chdir(cwd)
        what = argv[0]
        os.execvpe(argv[0], argv, env)
    except (OSError, ValueError) as error:
        os.write(2, f"moorage keeper: cannot start {what!r}: {error}\n".encode())
    finally:
        os._exit(127)


def ended(pid: int) -> tuple[int | None, int | None] | None:
    """(exit code, signal), one of them None, once a child has ended; it stays a zombie, so its pid stays taken."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None:
        return None
    if found.si_code == os.CLD_EXITED:
        return found.si_status, None
    return None, found.si_status


def signal_group(pgid: int, number: int) -> None:
    try:
        os.killpg(pgid, number)
    except ProcessLookupError:
        return


def reap(keep: int | None) -> bool:
    """Collect ended children, but not `keep`. True while any child is left (not counting `keep`)."""
    for pid in children():
        if pid != keep:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
    return any(pid != keep for pid in children())


def kill_children(keep: int | None) -> None:
    """SIGKILL to every child but `keep`. Their own children come to us, so calling it again ends a whole tree."""
    for pid in children():
        if pid != keep:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def children() -> list[int]:
    """Children of this process, zombies too."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(name) == me]


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")

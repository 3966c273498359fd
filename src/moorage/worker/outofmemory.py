"""How often the kernel has killed for want of memory, so that an engine's sudden death can be told from an operator's
kill."""

from pathlib import Path


def kills(
    cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup"), vmstat: Path = Path("/proc/vmstat")
) -> int | None:
    """Counted in this process's cgroup (v2 or v1); where that is not to be seen, on the whole machine. Blocks.

    None where the kernel tells neither.
    """
    for path in (*_events(cgroups, own), vmstat):
        count = _count(path)
        if count is not None:
            return count
    return None


def _events(cgroups: Path, own: Path) -> list[Path]:
    found: list[Path] = []
    for line in _text(own).splitlines():
        _, names, group = line.split(":", 2)
        if names == "":
            found.append(cgroups / group.lstrip("/") / "memory.events")
        elif "memory" in names.split(","):
            # In a container the group's path may be the host's, and its own group the root of what is visible.
            found += [cgroups / "memory" / part / "memory.oom_control" for part in (group.lstrip("/"), "")]
    return found


def _count(path: Path) -> int | None:
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdigit():
            return int(value)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

"""The system: what it is, in what it runs, its clock, its limit of open files."""

import platform
import resource
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import moorage
from moorage.serve.doctor.findings import Finding, Scope

FILES_LEAST = 4096
"""A call holds two connections; a thousand at once and their files want so many descriptors."""
CLOCK_SLACK_S = 86400.0
WINDOWS_FOLDERS = ("/mnt/c/", "/mnt/d/")


def examine(scope: Scope) -> Iterator[Finding]:
    yield _platform(scope.environ)
    yield from wsl(_text(Path("/proc/version")), Path.cwd())
    yield clock(time.time(), Path(moorage.__file__).stat().st_mtime)
    yield _files()


def container(environ: Mapping[str, str], root: Path = Path("/")) -> str:
    """What this runs in: `docker`, `podman`, `kubernetes`, `lxc`, …; empty for none that can be seen."""
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if environ.get("container"):
        return environ["container"]
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    return ""


def wsl_version(proc_version: str) -> int:
    """1 or 2 from the text of /proc/version; 0 for no WSL."""
    text = proc_version.lower()
    if "microsoft" not in text:
        return 0
    return 2 if "wsl2" in text or "microsoft-standard" in text else 1


def wsl(proc_version: str, here: Path) -> Iterator[Finding]:
    """Findings only where this is WSL."""
    version = wsl_version(proc_version)
    if version == 1:
        yield Finding(
            id="system.wsl",
            level="problem",
            what="WSL 1",
            detail="it has no Linux kernel: sockets, locks and memory mapping behave differently",
            fix="wsl --set-version <distribution> 2    (in PowerShell)",
            facts={"version": 1},
        )
    if version == 2:
        slow = str(here).startswith(WINDOWS_FOLDERS)
        yield Finding(
            id="system.wsl",
            level="warning" if slow else "note",
            what="WSL 2",
            detail="this folder is on a Windows drive, which is many times slower"
            if slow
            else "it has half of Windows' memory; for more: memory= in %UserProfile%\\.wslconfig, then wsl --shutdown",
            fix="mkdir -p ~/moorage && cd ~/moorage" if slow else "",
            facts={"version": 2},
        )


def clock(now: float, newest: float) -> Finding:
    """`newest` is when this program was installed: no honest clock is before that."""
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    facts = {"now": now}
    if now < newest - CLOCK_SLACK_S:
        return Finding(
            id="system.clock",
            level="problem",
            what="the clock is wrong",
            detail=f"it says {shown}, before this program was installed: certificates will not be accepted",
            fix="sudo timedatectl set-ntp true",
            facts=facts,
        )
    return Finding(id="system.clock", level="ok", what=f"clock {shown}", facts=facts)


def _platform(environ: Mapping[str, str]) -> Finding:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        name = platform.system()
    inside = container(environ)
    return Finding(
        id="system.platform",
        level="ok",
        what=name,
        detail=f"{platform.system()} {platform.release()}{f', in a container ({inside})' if inside else ''}",
        facts={"name": name, "kernel": platform.release(), "container": inside or None},
    )


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = float("inf") if hard == resource.RLIM_INFINITY else hard
    facts = {"soft": soft, "hard": None if hard == resource.RLIM_INFINITY else hard}
    if most < FILES_LEAST:
        return Finding(
            id="system.files",
            level="warning",
            what=f"{hard} open files at most",
            detail=f"enough for about {hard // 4} calls at once; {FILES_LEAST} or more are wanted",
            fix="LimitNOFILE=65536 in the service's unit, or --ulimit nofile=65536 for a container",
            facts=facts,
        )
    many = "unlimited" if most == float("inf") else f"{hard}"
    return Finding(id="system.files", level="ok", what=f"{many} open files", facts=facts)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

"""What the doctor finds: one line each, how grave it is, and what mends it."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from moorage.config.load import Loaded

Level = Literal["ok", "note", "warning", "problem"]
"""ok: as it should be. note: good to know. warning: something will be slower or will not work. problem: Moorage
cannot serve as it is asked to."""
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "problem")

GROUPS: Mapping[str, str] = {
    "system": "System",
    "python": "Python",
    "processor": "Processor",
    "memory": "Memory",
    "gpu": "GPU",
    "disk": "Disk",
    "engines": "Engines",
    "models": "Model caches",
    "network": "Network",
    "containers": "Containers",
    "configuration": "Configuration",
    "ports": "Ports",
}
"""Groups of findings, in the order they are shown. An id is `group.check`."""

MODEL_GROUPS: Mapping[str, str] = {
    "model": "Model",
    "files": "Files",
    "engine": "Engine",
    "plan": "Plan",
    "room": "Memory",
    "ports": "Ports",
    "start": "Last start",
    "remedy": "Remembered",
    "server": "Server",
}
"""Those of `moorage doctor MODEL`, likewise."""

CHECKS: Mapping[str, str] = {
    "system.platform": "operating system, kernel, container",
    "system.wsl": "Windows Subsystem for Linux: version and what it wants",
    "system.clock": "the clock against the age of this program",
    "system.files": "how many files a process may hold open",
    "python.version": "the interpreter",
    "python.environment": "virtual environment",
    "python.binaries": "architecture and C library, for which wheels of the engines exist or not",
    "processor.cores": "cores usable under affinity and cgroup quota",
    "processor.instructions": "vector instructions, and what they mean for the embedded engines",
    "processor.load": "what else is running",
    "memory.size": "memory of the machine and of its container",
    "memory.available": "memory that is free to be used now",
    "memory.swap": "swap space, total and in use",
    "gpu.nvidia": "NVIDIA driver and cards",
    "gpu.card": "graphics cards without a driver that can compute",
    "disk.cache": "the folder of model files: room, writable, kind of file system",
    "disk.state": "the folder of what the server remembers",
    "disk.temp": "the folder of temporary files",
    "engines.engine": "an engine: installed, loads, or how to install it",
    "models.store": "Moorage's own model files, half downloads",
    "models.huggingface": "the cache of Hugging Face's tools",
    "models.modelscope": "the cache of ModelScope's tools",
    "network.proxy": "a proxy variable",
    "network.no_proxy": "whether calls to this machine bypass the proxy",
    "network.hub": "the model hub answers",
    "network.index": "a package index of pip answers",
    "network.clock": "our time against that of servers",
    "containers.docker": "Docker's client and daemon, at least 20.10",
    "containers.compose": "Docker Compose, at least 2",
    "containers.podman": "Podman",
    "configuration.file": "the configuration is valid",
    "configuration.warning": "what in the configuration has no effect or is doubtful",
    "configuration.access": "nobody is let in by accident",
    "configuration.model": "a model's files are there and an engine can run it",
    "configuration.memory": "all models fit into memory together",
    "ports.listen": "a port the configuration wants is free, or who holds it",
    "ports.server": "a running Moorage answers on it",
}
"""Id → what is looked at. Ids are stable: programs may rely on them. Besides, a group that could not be examined in
time says `group.unfinished`, and one that failed to be examined `group.fault`."""

MODEL_CHECKS: Mapping[str, str] = {
    "model.configured": "which model it is, and where it is configured",
    "files.place": "where its files are",
    "files.whole": "whether they are whole, by their headers and sizes, and what they say",
    "engine.choice": "the engine that would run it, and why",
    "engine.other": "why not another engine",
    "engine.proven": "whether the engine's adapter was seen running in Moorage's own tests",
    "plan.option": "what is chosen for this file and machine",
    "room.part": "memory it takes, by part",
    "room.free": "the whole against what is free now",
    "start.failed": "why its last start here failed",
    "start.log": "the engine's log of that start",
    "remedy.kept": "what an earlier start had to be changed to, with which the next one begins",
    "server.replica": "what a running server says of its replicas",
}
"""Of `moorage doctor MODEL`, as CHECKS; its `ports` are those of CHECKS."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's report."""

    id: str
    level: Level
    what: str
    """In a few words, also what is well: `port 8000 is free`."""
    detail: str = ""
    fix: str = ""
    """The command that mends it, or what to do in words."""
    subject: str = ""
    """Which one, where a check is made of several: a port, an engine, a model. With the id it is unique."""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The same for programs; plain JSON."""

    @property
    def group(self) -> str:
        return self.id.partition(".")[0]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What an examination is told."""

    environ: Mapping[str, str]
    configuration: "Future[Loaded]"
    """The configuration, once it is read. Its result raises ConfigError for one that will not do."""
    offline: bool = False
    """Ask nobody outside this machine."""
    patience_s: float = 3.5
    """Longest wait for one program, server or file system."""


Examiner = Callable[[Scope], Iterable[Finding]]
"""Looks at one noun. What was found before an error or the deadline counts."""


def worst(findings: Iterable[Finding]) -> Level:
    found = {finding.level for finding in findings}
    for level in reversed(LEVELS):
        if level in found:
            return level
    return "ok"


def first_folder(path: Path) -> Path:
    """The path itself or the nearest folder above it that is there."""
    return next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))

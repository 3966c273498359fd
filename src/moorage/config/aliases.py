"""Environment variables of the set-ups people come from. Moorage's own (MOORAGE_…) beat them, and flags beat both.

Some have names that other programs use too (PORT, LOG_LEVEL): what such a variable decides is told at the start, and a
value that makes no sense here is left out with a warning.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from moorage.config.environment import Environment
from moorage.config.options import Path, dotted
from moorage.config.plain import at, is_list, is_section
from moorage.errors import ConfigError

Standing = Literal["option", "read", "engines", "file", "later", "never"]
"""option: sets an option. read: what fetches models reads it. engines: passed to engines. file: for `${…}` in the file.
later: has no effect in this version. never: has none, and never had."""


@dataclass(frozen=True)
class Known:
    """A variable, and what becomes of it."""

    standing: Standing
    about: str
    option: str = ""
    warned: bool = False
    """Whether it is told when it is set and has no effect."""


VARIABLES: Mapping[str, Known] = {
    "VLLM_ROUTER_PORT": Known("option", "server.port", "server.port"),
    "MISTRALRS_PORT": Known("option", "server.port, where VLLM_ROUTER_PORT does not say it", "server.port"),
    "PORT": Known("option", "server.port, where neither of the two says it", "server.port"),
    "VLLM_CHAT_PORT": Known("option", "`port` of the model to chat", "generate"),
    "VLLM_EMBEDDING_PORT": Known("option", "`port` of the model to embed", "embed"),
    "VLLM_RERANK_PORT": Known("option", "`port` of the model to rerank", "rerank"),
    "API_TOKEN": Known("option", "one more key of auth.keys, where there is no MOORAGE_API_KEY", "auth.keys"),
    "LOG_LEVEL": Known("option", "logging.level; warn is warning, trace is debug, critical is error", "logging.level"),
    "CUDA_VISIBLE_DEVICES": Known("engines", "the cards that may be used"),
    "NVIDIA_VISIBLE_DEVICES": Known("engines", "the cards a container gets from its runtime; limits no memory"),
    "NVIDIA_DRIVER_CAPABILITIES": Known("engines", "what a container gets of the driver from its runtime"),
    "HF_TOKEN": Known("read", "opens gated and private repositories"),
    "HF_HOME": Known("read", "where Hugging Face's cache and token are"),
    "HF_HUB_CACHE": Known("read", "where Hugging Face's cache is; used in place"),
    "HUGGINGFACE_HUB_CACHE": Known("read", "an older name of HF_HUB_CACHE; mistral.rs itself never read it"),
    "HF_ENDPOINT": Known("read", "a mirror in place of huggingface.co"),
    "HTTP_PROXY": Known("read", "the way out"),
    "HTTPS_PROXY": Known("read", "the way out"),
    "NO_PROXY": Known("read", "what is reached without a proxy"),
    "DB_PASSWORD": Known("file", "the database comes in a later version"),
    "REDIS_PASSWORD": Known("file", "Redis comes in a later version"),
    "JWT_SECRET": Known("file", "users with sessions come in a later version"),
    "OPENAI_API_KEY": Known("file", "providers come in a later version"),
    "ANTHROPIC_API_KEY": Known("file", "providers come in a later version"),
    "WORKER_ID": Known("later", "the identity of a worker of its own", warned=True),
    "MCP_SERVICE_URL": Known("later", "the controller a worker of its own belongs to", warned=True),
    "MAX_CONCURRENT_REQUESTS": Known(
        "later", "the capacity of a worker of its own; options.max_sequences bounds a model", warned=True
    ),
    "REGISTRY": Known("later", "where images are pushed"),
    "IMAGE_NAME": Known("later", "what images are called"),
    "GITHUB_REPOSITORY": Known("later", "what images are called where IMAGE_NAME does not say it"),
    "VLLM_GPU_MEM_FRACTION": Known("never", "no version of vLLM read it; write options.memory_fraction", warned=True),
    "VLLM_GPU_MEMORY_UTILIZATION": Known(
        "never", "no version of vLLM read it; write options.memory_fraction", warned=True
    ),
}

_LEVELS = {
    **{level: level for level in ("debug", "info", "warning", "error")},
    "trace": "debug",
    "warn": "warning",
    "critical": "error",
    "fatal": "error",
}
_KEY = re.compile(r"[!-~]{1,1000}")
_OWN_KEY = ("MOORAGE_API_KEY", "MOORAGE_API_KEY_FILE")


@dataclass(frozen=True)
class Alias:
    """A variable that decides an option."""

    name: str
    path: Path
    value: Any
    before: Any = None
    """What the file says."""

    @property
    def notice(self) -> str:
        """What is told at the start. A key is not shown."""
        option = dotted(self.path)
        own = f"MOORAGE_{option.replace('.', '_').upper()}" if "[" not in option else "the file"
        if self.path[0] == "auth":
            return "a key is taken from the variable API_TOKEN; MOORAGE_API_KEY beats it"
        instead = f", in place of {self.before}" if self.before not in (None, self.value) else ""
        how = f"; {own} beats it" if "[" not in option else ""
        return f"{option} is {self.value} by the variable {self.name}{instead}{how}"


def alias_layer(environment: Environment, data: dict[str, Any], *, whole_models: bool) -> list[Alias]:
    """What the variables decide, in the order in which later ones win. `data` is what the file says; `whole_models`:
    the command line names the models, so that those of the file do not count."""
    found = [
        *_one(environment, data, "PORT", _port),
        *_one(environment, data, "MISTRALRS_PORT", _port),
        *_one(environment, data, "VLLM_ROUTER_PORT", _port),
        *_one(environment, data, "LOG_LEVEL", _level),
    ]
    for name in () if whole_models else ("VLLM_CHAT_PORT", "VLLM_EMBEDDING_PORT", "VLLM_RERANK_PORT"):
        port = _port(environment.get(name))
        position = _model_for(data, VARIABLES[name].option)
        if port is not None and position is not None:
            path: Path = ("models", "local", position, "port")
            found.append(Alias(name, path, port, at(data, path)))
    if key := _key(environment, data):
        found.append(key)
    return found


def alias_warnings(environment: Environment, used: list[Alias]) -> list[str]:
    """Variables that are set and decide nothing, where one would expect them to."""
    names = {alias.name for alias in used}
    warnings: list[str] = []
    for name, known in VARIABLES.items():
        value = environment.get(name)
        if value is None or name in names:
            continue
        if known.warned:
            never = "sets nothing" if known.standing == "never" else "has no effect in this version"
            warnings.append(f"{name} {never}: {known.about}")
        elif known.standing == "option" and name != "API_TOKEN":
            warnings.append(f"{name} is left out: {_why_not(name, value)}")
    return warnings


def _why_not(name: str, value: str) -> str:
    if name == "LOG_LEVEL":
        return f"it should be {', '.join(dict.fromkeys(_LEVELS))}"
    if _port(value) is None:
        return "it should be a port from 0 to 65535"
    task = VARIABLES[name].option
    return f"there is no single model whose task is {task}; say `task: {task}` for the one that is meant"


def _one(environment: Environment, data: dict[str, Any], name: str, read: Callable[[str | None], Any]) -> list[Alias]:
    value = read(environment.get(name))
    path = tuple(VARIABLES[name].option.split("."))
    return [] if value is None else [Alias(name, path, value, at(data, path))]


def _port(text: str | None) -> int | None:
    """None for what is no port, such as tcp://… that Kubernetes sets for a service."""
    text = (text or "").strip()
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) and int(text) <= 65535 else None


def _level(text: str | None) -> str | None:
    return _LEVELS.get((text or "").strip().lower())


def _model_for(data: dict[str, Any], task: str) -> int | None:
    """The position of the one model with that task."""
    models = at(data, ("models", "local"))
    positions = [
        position
        for position, model in enumerate(models if is_list(models) else ())
        if is_section(model) and model.get("task") == task
    ]
    return positions[0] if len(positions) == 1 else None


def _key(environment: Environment, data: dict[str, Any]) -> Alias | None:
    if any(environment.get(name) for name in _OWN_KEY):
        return None
    try:
        key = environment.secret("API_TOKEN")
    except ConfigError:
        return None  # API_TOKEN_FILE is no name that anybody documented
    keys = at(data, ("auth", "keys"))
    if key is None or not _KEY.fullmatch(key) or not (keys is None or is_list(keys)):
        return None
    there = list(keys) if is_list(keys) else []
    if any(item == key or at(item, ("key",)) == key for item in there):
        return None
    return Alias("API_TOKEN", ("auth", "keys", len(there)), {"name": "API_TOKEN", "key": key})

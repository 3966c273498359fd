"""The configuration: one typed tree, frozen. Each option is declared here once; flags' names, environment names, the
JSON schema and the reference come from this declaration.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from moorage.config.address import Host, Port, is_loopback, overlap
from moorage.config.defaults import default_models
from moorage.config.marks import Restart, SecondSpelling
from moorage.config.model import ModelSpec, Section
from moorage.config.plain import is_list, is_section
from moorage.config.secret import Secret
from moorage.config.units import Duration, Size, Unfit, seconds, size_bytes


def _positive(value: Any) -> Any:
    if seconds(value) == 0:
        raise Unfit(value, "a duration above 0; write it like 30s, 5m or 500ms")
    return value


def _whole(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except (RuntimeError, OSError) as error:
        raise Unfit(str(path), "a path below a known home or current folder") from error


Timeout = Annotated[Duration, BeforeValidator(_positive)]
Place = Annotated[Path, AfterValidator(_whole)]


class Http(Section):
    """HTTP, the one entrance of this version. `port` and `max_request_size` may be written here or in `server`."""

    enabled: Annotated[Literal[True], BeforeValidator(lambda value: _only_entrance(value))] = True
    """Serve HTTP. Cannot be turned off while it is the only entrance."""
    port: Annotated[Port | None, SecondSpelling("server.port"), Field(exclude=True)] = None
    """Another spelling of server.port, which is where it is read."""
    max_request_size: Annotated[Size | None, SecondSpelling("server.max_request_size"), Field(exclude=True)] = None
    """Another spelling of server.max_request_size, which is where it is read."""


def _only_entrance(value: Any) -> Any:
    if value is True or (isinstance(value, str) and value.lower() == "true"):
        return True
    raise Unfit(value, "true; HTTP is the only entrance, leave the option out")


class Server(Section):
    """The public entrance: where it listens, how long it waits, how much it takes."""

    host: Annotated[Host, Restart()] = "127.0.0.1"
    """Address to listen on. Anything beyond loopback wants auth.keys or auth.allow_anonymous."""
    port: Annotated[Port, Restart()] = 8000
    """Port to listen on; 0 takes a free one."""
    processes: Annotated[int, Field(ge=1, le=256), Restart()] = 1
    """Gateway processes on the one listening socket."""
    http: Http = Http()
    request_timeout: Timeout = 300.0
    """Bounds a non-streaming call and a stream's first token, never a healthy stream."""
    connect_timeout: Timeout = 5.0
    """How long connecting to an engine may take."""
    token_timeout: Timeout = 60.0
    """Longest silence between two pieces of a stream."""
    total_timeout: Timeout | None = None
    """Longest whole call, streams too. Null: no bound."""
    queue_timeout: Timeout = 60.0
    """Longest wait for a free place at an engine before a call gets 503."""
    header_timeout: Annotated[Timeout, Restart()] = 10.0
    """How long a client may take to send a request's header."""
    body_timeout: Annotated[Timeout, Restart()] = 60.0
    """Longest silence within a request's body, and how long the body may take besides one second for each 16 KiB."""
    idle_timeout: Annotated[Timeout, Restart()] = 75.0
    """How long a connection may stay open between requests (keep-alive)."""
    drain_timeout: Annotated[Duration, Restart()] = 30.0
    """How long calls under way may take to finish when the server is told to stop."""
    max_request_size: Size = 10 * 1024**2
    """Largest request body taken."""
    max_upload_size: Size = 200 * 1024**2
    """Largest body of a request that brings a file, such as a recording."""
    max_header_size: Annotated[Size, Field(ge=1024), Restart()] = 64 * 1024
    """Largest request header taken, all fields together."""

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: Any) -> Any:
        return one_spelling(data)


def one_spelling(server: Any) -> Any:
    """A `server` section as written, with `http.port` and `http.max_request_size` moved to their place.

    The same value in both places is one; two different ones raise ValueError. What cannot be read stays where it is,
    for validation to complain about.
    """
    if not is_section(server) or not is_section(server.get("http")):
        return server
    merged = dict(server)
    inner = dict(server["http"])
    readers = {"port": _port, "max_request_size": size_bytes}
    for name, read in readers.items():
        if inner.get(name) is None:
            continue
        try:
            second = read(inner[name])
            first = second if merged.get(name) is None else read(merged[name])
        except ValueError:
            continue
        if first != second:
            raise ValueError(
                f"server.{name} and server.http.{name} are one setting with two different values; keep one"
            )
        merged[name] = merged.get(name) if merged.get(name) is not None else inner[name]
        del inner[name]
    return merged | {"http": inner}


def _port(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("not a port")
    return int(value)


class ApiKey(Section):
    """A key clients may call with: a plain text, or `{name, key}`."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    """What logs and metrics call it; `key-1`, `key-2`, … where none is given."""
    key: Secret
    """The secret itself. Better `${VAR}` or `${file:/run/secrets/NAME}` than the text."""


def _named_keys(value: Any) -> Any:
    return (
        tuple(_named_key(item, position) for position, item in enumerate(value, start=1)) if is_list(value) else value
    )


def _named_key(item: Any, position: int) -> Any:
    if isinstance(item, (str, int, float, SecretStr)):
        return {"name": f"key-{position}", "key": item}
    if is_section(item) and "name" not in item:
        return {"name": f"key-{position}", **item}
    return item


class Auth(Section):
    """Who may call."""

    keys: Annotated[tuple[ApiKey, ...], BeforeValidator(_named_keys)] = ()
    """Keys clients may call with: plain texts or `{name, key}`. The variable MOORAGE_API_KEY adds one more."""
    allow_anonymous: bool = False
    """Take calls without a key on a listener beyond loopback. On loopback they are taken while there are no keys."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names: dict[str, int] = {}
        secrets: dict[str, int] = {}
        for position, key in enumerate(self.keys):
            if (first := names.setdefault(key.name, position)) != position:
                raise ValueError(f"auth.keys[{first}] and auth.keys[{position}] have the same name")
            if (first := secrets.setdefault(key.key.get_secret_value(), position)) != position:
                raise ValueError(f"auth.keys[{first}] and auth.keys[{position}] are the same key")
        return self


class Models(Section):
    """The models clients may ask for. `models:` may be the plain list of local models."""

    local: tuple[ModelSpec, ...] = Field(default_factory=default_models)
    """Models this server runs itself. Left out: the default set, small models to chat, embed, rerank and, with the
    extra `speech`, transcribe. An empty list: none."""

    @model_validator(mode="after")
    def _one_owner_per_name(self) -> Self:
        owners: dict[str, int] = {}
        problems: list[str] = []
        for position, model in enumerate(self.local):
            for name in (model.name, *model.aliases, *model.options.lora):
                first = owners.setdefault(name, position)
                if first != position:
                    problems.append(
                        f"the name {name!r} is claimed by models.local[{first}] ({self.local[first].name}) "
                        f"and models.local[{position}] ({model.name})"
                    )
        if problems:
            raise ValueError("; ".join(problems))
        return self


def whole_section(models: Any) -> Any:
    """`models:` as written, with the shorthand of a plain list spelled out."""
    return {"local": models} if is_list(models) else models


class Workers(Section):
    """What holds for all engines."""

    queue_size: Annotated[int, Field(ge=0)] = 100
    """Calls that may wait for one model per gateway process. 0: none, a busy model answers 503 at once."""


class Logging(Section):
    """What is written about the running server."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Restart()] = "info"
    """Least important messages to write."""
    format: Annotated[Literal["auto", "json", "console"], Restart()] = "auto"
    """auto: console on a terminal, JSON lines elsewhere."""
    output: Annotated[Literal["stderr", "stdout", "file"], Restart()] = "stderr"
    """Where messages go."""
    file_path: Annotated[Place | None, Restart()] = None
    """The file to append to. Counts only when logging.output is file."""

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.output == "file" and self.file_path is None:
            raise ValueError("logging.output is file, so logging.file_path must say which")
        return self


class Metrics(Section):
    """Prometheus metrics at /metrics."""

    enabled: Annotated[bool, Restart()] = True
    """Answer /metrics."""


class Monitoring(Section):
    """What can be seen of the running server."""

    metrics: Metrics = Metrics()


class Config(Section):
    """A whole configuration. Relative paths count from the folder the server is started in."""

    server: Server = Server()
    auth: Auth = Auth()
    models: Annotated[Models, BeforeValidator(whole_section)] = Field(default_factory=lambda: Models())
    workers: Workers = Workers()
    logging: Logging = Logging()
    monitoring: Monitoring = Monitoring()
    cache_dir: Annotated[Place | None, Restart()] = None
    """Where model files are kept. Null: $XDG_CACHE_HOME/moorage or ~/.cache/moorage."""
    state_dir: Annotated[Place | None, Restart()] = None
    """Where the server keeps what it must remember. Null: $XDG_STATE_HOME/moorage or ~/.local/state/moorage."""

    @model_validator(mode="after")
    def _one_listener_per_port(self) -> Self:
        known: list[Listener] = []
        for one in listeners(self):
            for other in known:
                if one.port and one.port == other.port and overlap(one.host, other.host):
                    raise ValueError(f"{one.option}.port and {other.option}.port are both {one.port}; change one")
            known.append(one)
        return self


@dataclass(frozen=True)
class Listener:
    """A port clients may call."""

    option: str
    """Where the configuration says it: `server`, or `models.local[0]`."""
    host: str
    port: int
    model: str = ""
    """The name of the only model it serves, empty for all."""


def listeners(config: Config) -> tuple[Listener, ...]:
    """The main port, and those of single models."""
    server = config.server
    return (
        Listener("server", server.host, server.port),
        *(
            Listener(f"models.local[{position}]", model.host or server.host, model.port, model.name)
            for position, model in enumerate(config.models.local)
            if model.port is not None
        ),
    )


def access_problem(config: Config) -> str | None:
    """Why this configuration leaves the server open to strangers, and what to do about it; None when it does not."""
    if config.auth.keys or config.auth.allow_anonymous:
        return None
    for listener in listeners(config):
        if not is_loopback(listener.host):
            return (
                f"{listener.option}.host is {listener.host!r}, which others can reach, and there is no key: set "
                "auth.keys or MOORAGE_API_KEY, or say auth.allow_anonymous: true if everyone who can reach the port "
                "may use it"
            )
    return None

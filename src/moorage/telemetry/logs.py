"""The log of everything but requests: structured events, as JSON lines or for a person at a terminal."""

import logging
import sys
from collections.abc import MutableMapping
from io import TextIOBase
from typing import Any, Literal, TextIO, cast

import structlog

Style = Literal["json", "console"]


def configure(style: Style, level: str, path: str | None = None) -> None:
    """Set up structlog for this process. Logs go to stderr, or append to `path`."""
    # A file of logs is opened for the life of the process.
    output: TextIO = open(path, "a", encoding="utf-8", buffering=1) if path else cast("TextIO", _Stderr())  # noqa: SIM115
    renderers: list[Any] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
        if style == "json"
        else [_line_for_a_person]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if style == "console" else "iso", utc=style == "json"),
            *([structlog.processors.format_exc_info] if style == "console" else []),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_FromLibraries()], level=logging.WARNING, force=True)
    logging.getLogger("moorage").setLevel(level.upper())


class _FromLibraries(logging.Handler):
    """What is written by Python's own logging, by libraries and by those of our modules that commands use too."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


class _Stderr(TextIOBase):
    """sys.stderr as it is at each write: a progress bar that takes it over for a while prints lines above itself."""

    def write(self, text: str, /) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _line_for_a_person(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """`12:00:01 warning a gateway ended  process=0 code=-9`, over several lines where a value has several."""
    clock, level, what = event.pop("timestamp"), event.pop("level"), event.pop("event")
    trace = event.pop("exception", "")
    values = "  ".join(f"{name}={value}" for name, value in event.items())
    mark = "" if level in ("info", "debug") else f"{level}: "
    return f"{clock} {mark}{what}{'  ' if values else ''}{values}{chr(10) if trace else ''}{trace}"

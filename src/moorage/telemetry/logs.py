"""The log of everything but requests: structured events, as JSON lines or for a person at a terminal."""

import logging
import sys
from collections.abc import Callable, MutableMapping
from io import TextIOBase
from typing import Any, Literal, TextIO, cast

import structlog
import structlog.tracebacks

from moorage.core.text import harmless
from moorage.errors import ConfigError
from moorage.wire.launch import STDOUT

Style = Literal["json", "console"]

_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
"""Where it happened, without the values: tokens, keys and prompts are among them."""


def configure(style: Style, level: str, path: str | None = None) -> None:
    """Set up structlog for this process. Logs go to stderr, or append to `path`; STDOUT is standard output.

    Raises ConfigError for a file that cannot be opened; one that cannot be written later loses lines, and nothing else.
    """
    output = cast("TextIO", _Output(_stdout) if path == STDOUT else _file(path) if path else _Output(_stderr))
    renderers: list[Any] = (
        [_TRACEBACKS, structlog.processors.JSONRenderer()] if style == "json" else [_line_for_a_person]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if style == "console" else "iso", utc=style == "json"),
            *([structlog.processors.format_exc_info] if style == "console" else []),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_FromLibraries()], level=logging.WARNING, force=True)
    logging.getLogger("moorage").setLevel(level.upper())


class _FromLibraries(logging.Handler):
    """What is written by Python's own logging, by libraries and by those of our modules that commands use too."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


class _Output(TextIOBase):
    """Where lines go. To log must never be what fails: a disk may be full, a terminal gone."""

    def __init__(self, put: Callable[[str], object]) -> None:
        self._put = put
        self._lost = 0

    def write(self, text: str, /) -> int:
        try:
            if self._lost:
                self._put(f"({self._lost} lines of log could not be written here)\n")
                self._lost = 0
            self._put(text)
        except (OSError, ValueError):  # ValueError: it has been closed
            self._lost += 1
        return len(text)

    def flush(self) -> None:
        """Every line goes out at once."""


def _file(path: str) -> _Output:
    try:
        # Opened for the life of the process, without a buffer: what a full disk refused is not tried again.
        file = open(path, "ab", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise ConfigError(
            f"the log file {path!r} cannot be opened ({error.strerror}); change logging.file_path"
        ) from error
    return _Output(lambda text: file.write(text.encode(errors="backslashreplace")))


def _stderr(text: str) -> None:
    """To sys.stderr as it is now: a progress bar that takes it over for a while prints lines above itself."""
    sys.stderr.write(text)
    sys.stderr.flush()


def _stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _line_for_a_person(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """`12:00:01 warning a gateway ended  process=0 code=-9`, over several lines where a value has several."""
    clock, level, what = event.pop("timestamp"), event.pop("level"), event.pop("event")
    trace = event.pop("exception", "")
    values = "  ".join(f"{name}={harmless(str(value))}" for name, value in event.items())
    mark = "" if level in ("info", "debug") else f"{level}: "
    return f"{clock} {mark}{what}{'  ' if values else ''}{values}{chr(10) if trace else ''}{trace}"

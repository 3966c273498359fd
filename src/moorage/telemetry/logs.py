"""The log of everything but requests: structured events, as JSON lines or for a person at a terminal."""

import logging
import sys
from typing import Any, Literal, TextIO

import structlog

Style = Literal["json", "console"]


def configure(style: Style, level: str, path: str | None = None) -> None:
    """Set up structlog for this process. Logs go to stderr, or append to `path`."""
    # A file of logs is opened for the life of the process.
    output: TextIO = open(path, "a", encoding="utf-8", buffering=1) if path else sys.stderr  # noqa: SIM115
    renderers: list[Any] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
        if style == "json"
        else [structlog.dev.ConsoleRenderer(colors=output.isatty(), pad_event_to=0)]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if style == "console" else "iso", utc=style == "json"),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=True,
    )

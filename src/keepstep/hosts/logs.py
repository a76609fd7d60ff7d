"""Log lines of what keeps running: for people on a terminal, JSON elsewhere, one line per event, never a secret."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from keepstep.secret import Secret

_NOISY = ("botocore", "boto3", "urllib3", "s3transfer", "oci", "apprise", "uvicorn", "asyncio")
"""Libraries whose debug lines hold requests, and requests hold secrets."""


def configure_logs(stream: TextIO | None = None) -> Any:
    """Sends every log line of the process to ``stream`` (stderr), and returns the logger of the hosts."""
    out = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    renderer: Any = structlog.processors.JSONRenderer()
    if out.isatty():
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    else:
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    tame_libraries()
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(_Passing())
    return structlog.get_logger()


def tame_libraries() -> None:
    """Nobody's library says more than warnings, whatever level somebody gave the root logger."""
    logging.getLogger().setLevel(logging.WARNING)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def hide_secrets(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """A :class:`Secret` in an event prints as stars, however the event is rendered."""
    return {key: str(value) if isinstance(value, Secret) else value for key, value in event.items()}


class _Passing(logging.Handler):
    """The standard library's log records as events."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        level = record.levelname.lower()
        say = getattr(log, level if level in ("debug", "info", "warning", "error", "critical") else "info")
        # No traceback: a library's error may have a request in it.
        say(record.getMessage(), logger=record.name)

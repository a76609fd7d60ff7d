"""Log lines of what keeps running: for people on a terminal, JSON elsewhere, one line per event, never a secret."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

from keepstep.secret import Secret
from keepstep.text import shown

_LINE = 2000
"""Characters of one text on a terminal."""
_NOISY = ("botocore", "boto3", "urllib3", "s3transfer", "apprise", "uvicorn", "asyncio")
"""Libraries whose debug lines hold requests, and requests hold secrets."""


def configure_logs(stream: TextIO | None = None) -> Any:
    """Sends every log line of the process to ``stream`` (stderr), and returns the logger of the hosts."""
    out = _Lossy(stream or sys.stderr)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    renderer: Any = structlog.processors.JSONRenderer()
    if out.isatty():
        shared.append(_harmless)
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    else:
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, out)),
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


def _harmless(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Nothing that others chose moves the cursor of a terminal; JSON escapes by itself."""
    return {key: shown(value, _LINE) if isinstance(value, str) else value for key, value in event.items()}


class _Lossy:
    """A stream for log lines. One that it cannot take, because the disk is full or the reader gone, is dropped.

    Once lines are taken again, a line says how many were not. Nothing here raises: a run goes on without its log.
    """

    dropped = 0
    """By all streams of this process."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._untold = 0

    def write(self, text: str) -> None:
        with self._lock:
            if self._untold and self._has_written(_dropping(self._untold)):
                self._untold = 0
            if not self._has_written(text):
                self._untold += 1
                _Lossy.dropped += 1

    def flush(self) -> None:
        """Every line is flushed as it is written."""

    def isatty(self) -> bool:
        return self._stream.isatty()

    def _has_written(self, text: str) -> bool:
        """A line at a time, past the stream's own buffer: what a full disk did not take would stay in there."""
        try:
            self._stream.flush()
            descriptor = self._stream.fileno()
        except (OSError, ValueError):
            return self._has_written_to(text)
        data = text.encode(errors="backslashreplace")
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except OSError:
            return False
        return True

    def _has_written_to(self, text: str) -> bool:
        """For streams without a descriptor."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            return False
        return True


def _dropping(count: int) -> str:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"event": "log lines dropped", "count": count, "level": "warning", "timestamp": now}) + "\n"


def dropped_lines() -> int:
    """How many log lines this process could not write."""
    return _Lossy.dropped


class _Passing(logging.Handler):
    """The standard library's log records as events."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        level = record.levelname.lower()
        say = getattr(log, level if level in ("debug", "info", "warning", "error", "critical") else "info")
        # No traceback: a library's error may have a request in it.
        say(record.getMessage(), logger=record.name)

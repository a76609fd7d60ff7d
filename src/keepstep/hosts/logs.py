"""Logging of the hosts: readable on a terminal, JSON elsewhere, one line per event, never a secret."""

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
"""Maximum characters of one text on a terminal."""
_NOISY = ("botocore", "boto3", "urllib3", "s3transfer", "apprise", "uvicorn", "asyncio")
"""Libraries whose debug logs contain requests, and so secrets."""


def configure_logs(stream: TextIO | None = None) -> Any:
    """Sends all logging of the process to ``stream`` (stderr), and returns the logger of the hosts."""
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
    """Limits all libraries to warnings, whatever level the root logger has."""
    logging.getLogger().setLevel(logging.WARNING)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def hide_secrets(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Replaces each :class:`Secret` in an event by stars, however the event is rendered."""
    return {key: str(value) if isinstance(value, Secret) else value for key, value in event.items()}


def _harmless(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Escapes text for a terminal, so that names cannot move the cursor; JSON escapes by itself."""
    return {key: shown(value, _LINE) if isinstance(value, str) else value for key, value in event.items()}


class _Lossy:
    """A stream for log lines. A line that cannot be written, because the disk is full, is dropped.

    Once writing works again, a line says how many were dropped. Nothing raises: a run goes on without its log.
    """

    dropped = 0
    """Dropped lines of all streams of this process."""

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
        """Does nothing: every line is flushed as it is written."""

    def isatty(self) -> bool:
        return self._stream.isatty()

    def _has_written(self, text: str) -> bool:
        """Writes line by line, bypassing the stream's buffer, which would keep what a full disk did not accept."""
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
        """Writes to a stream without a descriptor."""
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
    """The number of log lines that this process could not write."""
    return _Lossy.dropped


class _Passing(logging.Handler):
    """Turns log records of the standard library into events."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        level = record.levelname.lower()
        say = getattr(log, level if level in ("debug", "info", "warning", "error", "critical") else "info")
        # No traceback: a library's error may contain a request.
        say(record.getMessage(), logger=record.name)

"""A daemon with everything around it: log, health, metrics, the status page."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keepstep.clock import SystemClock
from keepstep.config import Config
from keepstep.dashboard.pages import Dashboard
from keepstep.errors import ConfigError, ExitCode
from keepstep.hosts.daemon import Daemon
from keepstep.hosts.logs import configure_logs, dropped_lines
from keepstep.hosts.web import Web, application, bind
from keepstep.hosts.work import Work, read_work
from keepstep.jobs.assembly import alerting_of
from keepstep.jobs.resolve import watches_of
from keepstep.monitoring.metrics import MEDIA_TYPE, render
from keepstep.runs.history import History

_FRESH = 1.0
"""Seconds."""


def serve(path: Path) -> ExitCode:
    """Runs the jobs of a configuration file until SIGTERM. Raises :class:`Error` when it cannot begin."""
    return serve_work(lambda: read_work(path))


def serve_work(read: Callable[[], Work]) -> ExitCode:
    """As :func:`serve`; ``read`` is asked again at SIGHUP."""
    log = configure_logs()
    asyncio.run(_serve(read, log))
    return ExitCode.DONE


async def _serve(read: Callable[[], Work], log: Any) -> None:
    daemon = Daemon(read, log)
    # Those who look have a connection of their own: however many they are, the scheduler does not wait for them.
    history = History(daemon.config.state.place.look())
    web = _web(daemon, history, log)
    try:
        await daemon.run()
    finally:
        if web:
            web.close()
        history.database.close()


def _web(daemon: Daemon, history: History, log: Any) -> Web | None:
    """None when the usual address is taken: only one that somebody chose is worth failing for."""
    dashboard = daemon.config.dashboard
    try:
        listening = bind(dashboard.listen)
    except ConfigError as exc:
        if "listen" in dashboard.model_fields_set:
            raise
        log.warning("nothing is served", error=exc.message)
        return None
    host, port = listening.getsockname()[:2]
    log.info("serving", address=f"http://{f'[{host}]' if ':' in host else host}:{port}/")
    app = application(daemon.health, daemon.readiness, Metrics(lambda: daemon.config, history).text)
    page = Dashboard(lambda: daemon.config, history, host)
    app.mount("/", page.application())
    return Web(app, listening)


class Metrics:
    """The metrics of a state, worked out at most once in a few seconds, however many ask."""

    def __init__(self, config: Callable[[], Config], history: History) -> None:
        self._config = config
        self._history = history
        self._lock = threading.Lock()
        self._text, self._until = b"", 0.0

    def text(self) -> tuple[bytes, str]:
        """The body and its media type. Raises :class:`Error` while the state is away."""
        with self._lock:
            if time.monotonic() >= self._until:
                config = self._config()
                alerting = alerting_of(config, self._history.database)
                now = SystemClock().now()
                self._text = render(self._history, alerting, watches_of(config), now) + _dropped_lines()
                self._until = time.monotonic() + _FRESH
            return self._text, MEDIA_TYPE


def _dropped_lines() -> bytes:
    """Of this daemon alone, as its log is its own."""
    head = "# HELP keepstep_log_lines_dropped_total Log lines that could not be written.\n"
    kind = "# TYPE keepstep_log_lines_dropped_total counter\n"
    return f"{head}{kind}keepstep_log_lines_dropped_total {dropped_lines()}\n".encode()

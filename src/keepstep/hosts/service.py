"""Runs a daemon with its log, health checks, metrics and status page."""

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
    """Runs the jobs of a configuration file until SIGTERM. Raises :class:`Error` if it cannot start."""
    return serve_work(lambda: read_work(path))


def serve_work(read: Callable[[], Work]) -> ExitCode:
    """Like :func:`serve`; ``read`` is called again at SIGHUP."""
    log = configure_logs()
    asyncio.run(_serve(read, log))
    return ExitCode.DONE


async def _serve(read: Callable[[], Work], log: Any) -> None:
    daemon = Daemon(read, log)
    # Readers have their own connection: however many there are, the scheduler does not wait for them.
    history = History(daemon.config.state.place.look())
    web = _web(daemon, history, log)
    try:
        await daemon.run()
    finally:
        if web:
            web.close()
        history.database.close()


def _web(daemon: Daemon, history: History, log: Any) -> Web | None:
    """None if the default address is in use; only a configured one is an error."""
    dashboard = daemon.config.dashboard
    try:
        listening = bind(dashboard.listen)
    except ConfigError as exc:
        if "listen" in dashboard.model_fields_set:
            raise
        log.warning("status page not served", error=exc.message)
        return None
    host, port = listening.getsockname()[:2]
    log.info("serving", address=f"http://{f'[{host}]' if ':' in host else host}:{port}/")
    app = application(daemon.health, daemon.readiness, Metrics(lambda: daemon.config, history).text)
    page = Dashboard(lambda: daemon.config, history, host)
    app.mount("/", page.application())
    return Web(app, listening)


class Metrics:
    """The metrics of a state, computed at most once every few seconds, however often they are read."""

    def __init__(self, config: Callable[[], Config], history: History) -> None:
        self._config = config
        self._history = history
        self._lock = threading.Lock()
        self._text, self._until = b"", 0.0

    def text(self) -> tuple[bytes, str]:
        """The body and its media type. Raises :class:`Error` while the state is unavailable."""
        with self._lock:
            if time.monotonic() >= self._until:
                config = self._config()
                alerting = alerting_of(config, self._history.database)
                now = SystemClock().now()
                self._text = render(self._history, alerting, watches_of(config), now) + _dropped_lines()
                self._until = time.monotonic() + _FRESH
            return self._text, MEDIA_TYPE


def _dropped_lines() -> bytes:
    """The metric of dropped log lines, which is of this daemon only."""
    head = "# HELP keepstep_log_lines_dropped_total Log lines that could not be written.\n"
    kind = "# TYPE keepstep_log_lines_dropped_total counter\n"
    return f"{head}{kind}keepstep_log_lines_dropped_total {dropped_lines()}\n".encode()

"""A daemon with everything around it: log, health, metrics, the status page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keepstep.assembly import alerting_of, watches_of
from keepstep.clock import SystemClock
from keepstep.dashboard.pages import Dashboard
from keepstep.errors import ConfigError, ExitCode
from keepstep.hosts.daemon import Daemon
from keepstep.hosts.logs import configure_logs
from keepstep.hosts.web import Web, application, bind
from keepstep.hosts.work import Work, read_work
from keepstep.runs.metrics import MEDIA_TYPE, render


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
    web = _web(daemon, log)
    try:
        await daemon.run()
    finally:
        if web:
            web.close()


def _web(daemon: Daemon, log: Any) -> Web | None:
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
    log.info("serving", address=f"http://{host}:{port}/")
    app = application(daemon.health, daemon.readiness, lambda: _metrics(daemon))
    page = Dashboard(lambda: daemon.config, daemon.history, host)
    app.mount("/", page.application())
    return Web(app, listening)


def _metrics(daemon: Daemon) -> tuple[bytes, str]:
    database = daemon.history.database
    alerting = alerting_of(daemon.config, database)
    return render(daemon.history, alerting, watches_of(daemon.config), SystemClock().now()), MEDIA_TYPE

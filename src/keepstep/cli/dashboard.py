"""``keepstep dashboard``: the status page without a daemon."""

from __future__ import annotations

import signal
import threading
from typing import Any

import click

from keepstep.cli.options import needed_config_file
from keepstep.config import load
from keepstep.errors import ConfigError
from keepstep.jobs.option_parsing import Command, config_option
from keepstep.runs.history import History


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Address to listen on [default: [dashboard] listen]; port 0 picks a free port.",
)
@config_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Serve the status page of keepstep.toml's state until SIGTERM. It is read-only.

    The daemon, keepstep run, serves the same page; this command is for hosts where cron or systemd starts the runs.
    """
    path = needed_config_file(ctx)
    config = load(path)
    try:
        from keepstep.dashboard.pages import Dashboard
        from keepstep.hosts.web import Web, bind
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"the status page needs the library {exc.name}, which is not installed",
            hint="pip install 'keepstep[dashboard]'",
        ) from exc
    history = History(config.state.place.look())
    listening = bind(options["listen"] or config.dashboard.listen)
    host, port = listening.getsockname()[:2]
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    web = Web(Dashboard(lambda: config, history, host).application(), listening)
    click.echo(f"serving http://{f'[{host}]' if ':' in host else host}:{port}/")
    stopped.wait()
    web.close()
    history.database.close()

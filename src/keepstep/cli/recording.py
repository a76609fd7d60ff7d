"""Runs of configured jobs are written down; others only when a host asks for a record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepstep.assembly import alerting_of, watches_of
from keepstep.clock import SystemClock
from keepstep.errors import Error, Transient
from keepstep.runs.history import History
from keepstep.runs.recording import RUN, Recording, open_history, shared_lock

if TYPE_CHECKING:
    from keepstep.config import Config


@contextmanager
def recorded(config: Config, job: str, kind: str) -> Iterator[Recording]:
    """A run of that job, alone on all machines that share the state. Raises :class:`Locked`.

    A file that nobody configured and that cannot be written is done without: the run matters more. So do secrets,
    when the state is away. Where no daemon does it, those who are to be told of the run's end are told here.
    """
    state = config.state
    with ExitStack() as stack:
        try:
            stack.enter_context(shared_lock(job, state.url))
        except Transient:
            if kind != "secrets":
                raise
        history = _history(state.url, is_chosen="url" in state.model_fields_set)
        if history:
            stack.callback(history.database.close)
            if RUN not in os.environ:
                stack.callback(_tell, config, job, history)
        yield stack.enter_context(Recording(job, kind, history))


def recording_of(config: Config | None, job: str, kind: str) -> AbstractContextManager[Recording]:
    """Of a configured job's run, or, without a configuration, of one that only a host may ask for."""
    return recorded(config, job, kind) if config else Recording(job, kind, None)


def _tell(config: Config, job: str, history: History) -> None:
    """Looks after alerts of this job, and metrics. Trouble with them is none of the run's."""
    now = SystemClock().now()
    try:
        alerting = alerting_of(config, history.database)
        alerting.look([watch for watch in watches_of(config) if watch.job == job], now)
        for trouble in alerting.send(now):
            click.echo(f"warning: an alert could not be sent by {trouble.channel}: {trouble.error}", err=True)
        if config.metrics.textfile:
            from keepstep.runs.metrics import render, write_textfile

            write_textfile(Path(config.metrics.textfile), render(history, alerting, watches_of(config), now))
    except (Error, ModuleNotFoundError) as exc:
        click.echo(f"warning: alerts and metrics could not be looked after: {exc}", err=True)


def _history(url: str, *, is_chosen: bool) -> History | None:
    try:
        return open_history(url)
    except Error as exc:
        if is_chosen:
            click.echo(f"warning: no record of this run is kept: {exc.message}", err=True)
        return None

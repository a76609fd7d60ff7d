"""Runs of configured jobs are alone and written down; others only when a host asks for a record."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepstep.clock import Clock, SystemClock
from keepstep.errors import Error, Locked, Transient
from keepstep.jobs.assembly import alerting_of
from keepstep.jobs.resolve import watches_of
from keepstep.runs.history import History
from keepstep.runs.recording import RUN, Recording
from keepstep.state.clock import StateClock
from keepstep.text import printable

if TYPE_CHECKING:
    from keepstep.config import Config
    from keepstep.state.place import StatePlace

_PATIENCE = {"secrets": 60.0}
"""Seconds that a run waits for another one of its job to end, by kind."""
_CLAIMED = 15.0
"""Seconds that a claimed run waits for one that is no longer expected to find that out."""
_BEATS = 12.0
"""Seconds in which a living run gives at least two signs of life."""


@contextmanager
def recorded(config: Config, job: str, kind: str) -> Iterator[Recording]:
    """A run of that job, alone for all who share the state. Raises :class:`Locked`.

    A state that nobody configured and that cannot be kept is done without: the run matters more. So do secrets
    while the state is away. Where no daemon does it, those who are to be told of the run's end are told here.
    """
    place = config.state.place
    if config.exposure and RUN not in os.environ:
        click.echo(f"warning: {config.exposure}", err=True)
    with ExitStack() as stack:
        history = _history(place, kind)
        if history:
            stack.callback(history.database.close)
            if place.is_shared:
                _listen(place, history, job)
        stack.enter_context(alone(place, job, kind))
        clock = _clock(history)
        if history and RUN not in os.environ:
            stack.callback(_tell, config, job, history, clock)
        recording = Recording(job, kind, history, clock=clock)
        stack.callback(_post, config, recording)
        yield stack.enter_context(recording)


def recording_of(config: Config | None, job: str, kind: str) -> AbstractContextManager[Recording]:
    """Of a configured job's run, or, without a configuration, of one that only a host may ask for."""
    return recorded(config, job, kind) if config else Recording(job, kind, None)


@contextmanager
def alone(place: StatePlace, job: str, kind: str) -> Iterator[None]:
    """Holds the job's lock. Raises :class:`Locked` when another run has it, at once or after some patience.

    Where no lock can be kept, secrets go on without: they matter more. So does a run without a configured state.
    """
    is_claimed = RUN in os.environ
    deadline = time.monotonic() + max(_PATIENCE.get(kind, 0.0), _CLAIMED if is_claimed else 0.0)
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(place.lock(job))
            except Locked:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
                continue
            except Error as exc:
                if is_claimed and isinstance(exc, Transient) and time.monotonic() < deadline:
                    time.sleep(1)
                    continue
                if is_claimed or not (kind == "secrets" or place.is_optional):
                    raise
                if not place.is_optional:
                    click.echo(f"warning: {printable(exc.message)}; going on without a lock", err=True)
            break
        yield


def _history(place: StatePlace, kind: str) -> History | None:
    """None where no record can be kept and none is needed."""
    try:
        return History(place.open())
    except Error as exc:
        if RUN in os.environ or (isinstance(exc, Transient) and place.is_shared and kind != "secrets"):
            raise
        if not place.is_optional:
            click.echo(f"warning: no record of this run is kept: {printable(exc.message)}", err=True)
        return None


def _listen(place: StatePlace, history: History, job: str) -> None:
    """Waits for signs of life of a run whose lock is free: its session may just have ended, and it takes it again.

    Raises :class:`Locked` when there are some.
    """
    others = {run.id: run.seen for run in history.open() if run.job == job and run.outcome == "running"}
    if not others or not place.is_free(job):
        return
    deadline = time.monotonic() + _BEATS
    while time.monotonic() < deadline and place.is_free(job):
        time.sleep(1)
        for run in history.open():
            if others.get(run.id, run.seen) != run.seen:
                raise Locked(f"another run of {job} is under way", hint=f"on {run.host}; keepstep status {job}")


def _clock(history: History | None) -> Clock:
    if history is None:
        return SystemClock()
    clock = StateClock(history.database)
    with suppress(Error):
        clock.ask()
    return clock


def _tell(config: Config, job: str, history: History, clock: Clock) -> None:
    """Looks after alerts of this job, and metrics. Trouble with them is none of the run's."""
    now = clock.now()
    try:
        alerting = alerting_of(config, history.database)
        alerting.look([watch for watch in watches_of(config) if watch.job == job], now)
        for trouble in alerting.send(now):
            click.echo(
                printable(f"warning: an alert could not be sent by {trouble.channel}: {trouble.error}"), err=True
            )
        if config.metrics.textfile:
            from keepstep.monitoring.metrics import render, write_textfile

            write_textfile(Path(config.metrics.textfile), render(history, alerting, watches_of(config), now))
    except (Error, ModuleNotFoundError) as exc:
        click.echo(f"warning: alerts and metrics could not be looked after: {printable(str(exc))}", err=True)


def _post(config: Config, recording: Recording) -> None:
    """Tells OCI Monitoring of a run that succeeded, whoever started it. Trouble with that is none of the run's."""
    run, settings = recording.run, config.metrics.oci
    if settings is None or not run.is_good or run.finished is None:
        return
    from keepstep.clouds.oci import OciIdentity, OciSettings
    from keepstep.clouds.oci_operations import post_metric

    given = config.identity.oci
    auth, profile = settings.auth or given.auth, None if settings.auth else given.profile
    identity = OciIdentity(OciSettings(auth=auth, profile=profile, config_file=given.config_file))
    dimensions = {"job": run.job, "kind": run.kind, "host": run.host}
    try:
        post_metric(
            "success",
            1,
            run.finished,
            dimensions,
            namespace=settings.namespace,
            compartment=settings.compartment,
            identity=identity,
            region=settings.region,
        )
    except Error as exc:
        what = f"OCI Monitoring was not told of this run: {exc.message}" + (f" ({exc.hint})" if exc.hint else "")
        click.echo(f"warning: {printable(what)}", err=True)

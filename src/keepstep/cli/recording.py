"""Locks and records runs of configured jobs; other runs are recorded only if a host asks for it."""

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
"""Seconds that a run waits for another run of its job to end, by kind."""
_CLAIMED = 15.0
"""Seconds that a claimed run waits for a run that was given up to notice that."""
_BEATS = 12.0
"""Seconds in which a live run gives at least two signs of life."""


@contextmanager
def recorded(config: Config, job: str, kind: str) -> Iterator[Recording]:
    """Records the only run of that job for all who share the state. Raises :class:`Locked`.

    A run goes on without a default state that cannot be kept, because the run matters more. So do secrets while the
    state is unavailable. Sends alerts and updates metrics after the run unless a daemon does.
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
    """The recording of a configured job's run, or, without a configuration, of one that only a host may request."""
    return recorded(config, job, kind) if config else Recording(job, kind, None)


@contextmanager
def alone(place: StatePlace, job: str, kind: str) -> Iterator[None]:
    """Holds the job's lock. Raises :class:`Locked` if another run has it, at once or after waiting.

    If locks are impossible, secrets continue without one: they matter more. So does a run with the default state.
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
                    click.echo(f"warning: {printable(exc.message)}; continuing without a lock", err=True)
            break
        yield


def _history(place: StatePlace, kind: str) -> History | None:
    """Opens the history; None if it cannot be kept and is not needed."""
    try:
        return History(place.open())
    except Error as exc:
        if RUN in os.environ or (isinstance(exc, Transient) and place.is_shared and kind != "secrets"):
            raise
        if not place.is_optional:
            click.echo(f"warning: this run is not being recorded: {printable(exc.message)}", err=True)
        return None


def _listen(place: StatePlace, history: History, job: str) -> None:
    """Waits for signs of life of a run whose lock is free: it may be about to retake a lock that its session lost.

    Raises :class:`Locked` if there are any.
    """
    others = {run.id: run.seen for run in history.open() if run.job == job and run.outcome == "running"}
    if not others or not place.is_free(job):
        return
    deadline = time.monotonic() + _BEATS
    while time.monotonic() < deadline and place.is_free(job):
        time.sleep(1)
        for run in history.open():
            if others.get(run.id, run.seen) != run.seen:
                raise Locked(
                    f"another run of {job} is in progress", hint=f"it runs on {run.host}: see keepstep status {job}"
                )


def _clock(history: History | None) -> Clock:
    if history is None:
        return SystemClock()
    clock = StateClock(history.database)
    with suppress(Error):
        clock.ask()
    return clock


def _tell(config: Config, job: str, history: History, clock: Clock) -> None:
    """Updates alerts of this job, and metrics. Failures here do not fail the run."""
    now = clock.now()
    try:
        alerting = alerting_of(config, history.database)
        alerting.look([watch for watch in watches_of(config) if watch.job == job], now)
        for trouble in alerting.send(now):
            click.echo(printable(f"warning: cannot send an alert to {trouble.channel}: {trouble.error}"), err=True)
        if config.metrics.textfile:
            from keepstep.monitoring.metrics import render, write_textfile

            write_textfile(Path(config.metrics.textfile), render(history, alerting, watches_of(config), now))
    except (Error, ModuleNotFoundError) as exc:
        click.echo(f"warning: cannot update alerts and metrics: {printable(str(exc))}", err=True)


def _post(config: Config, recording: Recording) -> None:
    """Posts the metric of a successful run to OCI Monitoring. A failure here does not fail the run."""
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
        what = f"cannot post the metric of this run to OCI Monitoring: {exc.message}" + (
            f" ({exc.hint})" if exc.hint else ""
        )
        click.echo(f"warning: {printable(what)}", err=True)

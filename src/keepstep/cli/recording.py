"""Runs of configured jobs are written down; others only when a host asks for a record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from keepstep.errors import Error, Transient
from keepstep.runs.history import History
from keepstep.runs.recording import Recording, open_history, shared_lock

if TYPE_CHECKING:
    from keepstep.config import State


@contextmanager
def recorded(state: State, job: str, kind: str) -> Iterator[Recording]:
    """A run of that job, alone on all machines that share the state. Raises :class:`Locked`.

    A file that nobody configured and that cannot be written is done without: the run matters more. So do secrets,
    when the state is away.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(shared_lock(job, state.url))
        except Transient:
            if kind != "secrets":
                raise
        history = _history(state.url, is_chosen="url" in state.model_fields_set)
        if history:
            stack.callback(history.database.close)
        yield stack.enter_context(Recording(job, kind, history))


def recording_of(state: State | None, job: str, kind: str) -> AbstractContextManager[Recording]:
    """Of a configured job's run, or, without a state, of one that only a host may ask for."""
    return recorded(state, job, kind) if state else Recording(job, kind, None)


def _history(url: str, *, is_chosen: bool) -> History | None:
    try:
        return open_history(url)
    except Error as exc:
        if is_chosen:
            click.echo(f"warning: no record of this run is kept: {exc.message}", err=True)
        return None

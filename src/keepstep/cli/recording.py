"""Runs of configured jobs are written down; others only when a host asks for a record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from keepstep.errors import Error
from keepstep.runs.history import History
from keepstep.runs.recording import Recording, open_history, shared_lock

if TYPE_CHECKING:
    from keepstep.config import Config


@contextmanager
def recorded(config: Config, job: str, kind: str) -> Iterator[Recording]:
    """A run of that job, alone on all machines that share the state. Raises :class:`Locked`.

    A file that nobody configured and that cannot be written is done without: the run matters more.
    """
    with ExitStack() as stack:
        url = config.state.url
        stack.enter_context(shared_lock(job, url))
        history = _history(url, is_chosen="url" in config.state.model_fields_set)
        if history:
            stack.callback(history.database.close)
        yield stack.enter_context(Recording(job, kind, history))


def unrecorded(kind: str) -> Recording:
    """A run that is no configured job's."""
    return Recording("", kind, None)


def _history(url: str, *, is_chosen: bool) -> History | None:
    try:
        return open_history(url)
    except Error as exc:
        if is_chosen:
            click.echo(f"warning: no record of this run is kept: {exc.message}", err=True)
        return None

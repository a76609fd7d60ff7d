"""Whether a run that says nothing any more still lives: its job's lock knows."""

from __future__ import annotations

from keepstep.errors import Error
from keepstep.runs.lock import lock_folder, only_run
from keepstep.runs.run import Run


def is_dead(run: Run, state_url: str) -> bool:
    """True when the lock of the run's job is free: on this machine, which has the state's file, or on all."""
    try:
        if not state_url.startswith("sqlite:"):
            from keepstep.runs.shared_lock import is_free

            return is_free(run.job, state_url)
        with only_run(run.job, lock_folder(state_url)):
            return True
    except Error:
        return False

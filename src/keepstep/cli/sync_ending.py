"""Sets the modes and owners of a local target after a sync."""

from __future__ import annotations

from collections.abc import Callable

from keepstep.cli.output import Terminal
from keepstep.errors import Error, ExitCode
from keepstep.jobs.sync_work import SyncWork, modes_of
from keepstep.runs.report import Failure, Report

Finish = Callable[[Report, Terminal], None]


def finishing(work: SyncWork) -> Finish:
    """The function to call after the run; options are parsed now, so that a wrong one fails early."""
    change, owner = modes_of(work.params, work.target)
    if change is None and owner is None:
        return lambda report, terminal: None
    from keepstep.stores.local_modes import apply

    def finish(report: Report, terminal: Terminal) -> None:
        if report.is_dryrun:
            return
        try:
            apply(work.target.path, change, owner)
        except Error as exc:
            failure = Failure.of("chmod", exc, target=str(work.target))
            report.fail(failure)
            terminal.failed(failure)
            if report.exit_code in (ExitCode.DONE, ExitCode.SKIPPED):
                report.exit_code = ExitCode.FAILED

    return finish

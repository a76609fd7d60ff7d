"""What surrounds a sync: where deleted objects go, and the modes and owners of a local target after the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keepstep.cli.output import Terminal
from keepstep.errors import Error, ExitCode, Misuse
from keepstep.runs.report import Failure, Report
from keepstep.stores.address import Address, parse

Finish = Callable[[Report, Terminal], None]


def trash_of(text: str | None, source: Address, target: Address) -> Address | None:
    """Raises :class:`Misuse` for a place that the run itself would list, or that holds the target."""
    if text is None:
        return None
    trash = parse(text)
    for name, place in (("source", source), ("target", target)):
        if trash in (source, target) or trash.inside(place) or place.inside(trash):
            raise Misuse(
                f"--trash {text}: the trash and the {name} lie inside each other",
                hint="name a place beside them, for example another prefix of the bucket",
            )
    return trash


def finishing(options: dict[str, Any], target: Address) -> Finish:
    """What is to be done after the run; the options are read now, so that a wrong one costs nothing."""
    mode, who = options["chmod"], options["chown"]
    if mode is None and who is None:
        return lambda report, terminal: None
    if target.kind != "local":
        raise Misuse("--chmod and --chown are for local targets", hint="objects of a cloud have no mode")
    from keepstep.stores.local_modes import apply, mode_change, owner

    change, new_owner = mode_change(mode) if mode else None, owner(who) if who else None

    def finish(report: Report, terminal: Terminal) -> None:
        if report.is_dryrun:
            return
        try:
            apply(target.path, change, new_owner)
        except Error as exc:
            failure = Failure.of("chmod", exc, target=str(target))
            report.fail(failure)
            terminal.failed(failure)
            if report.exit_code in (ExitCode.DONE, ExitCode.SKIPPED):
                report.exit_code = ExitCode.FAILED

    return finish

"""What surrounds a sync: where deleted objects go, and the modes and owners of a local target after the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keepstep.cli.output import Terminal
from keepstep.errors import Error, ExitCode, Misuse
from keepstep.runs.report import Failure, Report
from keepstep.stores.address import Address
from keepstep.stores.places import Relation, relation

Finish = Callable[[Report, Terminal], None]


_LIES = {Relation.SAME: "is", Relation.INSIDE: "is inside", Relation.CONTAINS: "contains"}


def check_places(source: Address, target: Address) -> None:
    """Raises :class:`Misuse` when there are not two."""
    if relation(source, target) is Relation.SAME:
        raise Misuse(f"{target}: source and target are the same place", hint="name another target")


def check_trash(text: str, trash: Address, source: Address, target: Address) -> None:
    """Raises :class:`Misuse` for a place that the run itself would list, or that holds the source or the target."""
    for name, place in (("target", target), ("source", source)):
        lies = relation(trash, place)
        if lies is not Relation.APART:
            raise Misuse(
                f"--trash {text}: the trash {_LIES[lies]} the {name}",
                hint="name a place beside them, for example another prefix of the bucket",
            )


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

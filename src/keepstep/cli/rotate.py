"""``keepstep rotate``: runs one reconcile tick of a credential."""

from __future__ import annotations

import sys
import time
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import click

from keepstep.cli.options import merge_globals
from keepstep.cli.recording import recording_of
from keepstep.cli.rotate_job import chosen_rotation
from keepstep.cli.rotate_output import Lines
from keepstep.cli.running import Interruption, late_signal, run
from keepstep.clock import SystemClock
from keepstep.errors import ExitCode
from keepstep.jobs.option_parsing import Command, global_options
from keepstep.jobs.rotate import ResolvedRotation
from keepstep.rotation.tick import Tick
from keepstep.runs.report import Report, action_log


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("job", required=False)
@click.option(
    "--plan", is_flag=True, help="Show what was observed and the next step with its exact call; write nothing."
)
@click.option("--now", is_flag=True, help="Rotate even if it is not due.")
@click.option("--seconds", type=click.FloatRange(min=0), help="Time that the platform gives this run, in seconds.")
@global_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Finish interrupted rotations and rotate what is due, until nothing is left to do.

    JOB is a job of keepstep.toml; without it ROTATION_MINUTES, AWS_SECRET_ID and the other variables say what to
    rotate. Exits with 0 also if another worker was faster, with 1 if a database cannot be reached (the next run
    continues), and with 4 if the usernames do not match or a second rotator is active.
    """
    options = merge_globals(ctx, options)
    work = chosen_rotation(ctx, options["job"])
    with ExitStack() as stack:
        config = work.config if work.is_recorded and not options["plan"] else None
        recording = stack.enter_context(recording_of(config, work.name, "rotate"))
        lines = Lines(quiet=options["quiet"] or options["as_json"], verbose=options["verbose"] or options["plan"])
        keeps_actions = options["as_json"] or recording.keeps_actions
        report = Report(
            "rotate",
            work.job.aws_secret or "",
            work.job.oci_secret or "",
            SystemClock().now(),
            is_dryrun=options["plan"],
            actions=action_log() if keeps_actions else None,
        )
        recording.report = report
        interrupted = run(_tick(work, report, lines, options))
        report.exit_code = interrupted or late_signal() or report.exit_code
    if options["as_json"]:
        report.write_json(sys.stdout)
        sys.stdout.flush()
    sys.exit(report.exit_code)


async def _tick(work: ResolvedRotation, report: Report, lines: Lines, options: dict[str, Any]) -> ExitCode | None:
    async with AsyncExitStack() as stack:
        parts = work.parts(stack, lines.warned)
        tick = Tick(
            await parts.rotation(work.name, work.job),
            report,
            lines,
            is_forced=options["now"],
            is_plan=options["plan"],
            ends=time.monotonic() + options["seconds"] if options["seconds"] is not None else None,
        )
        with Interruption(tick.stop) as interruption:
            await tick.run()
            return interruption.code

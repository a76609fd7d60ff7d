"""``keepstep sync``: makes a target folder match a source folder."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import click

from keepstep.cli.options import merge_globals
from keepstep.cli.output import Terminal, hand_in
from keepstep.cli.recording import recording_of
from keepstep.cli.running import carried_out, run
from keepstep.cli.sync_ending import finishing
from keepstep.cli.sync_help import SyncCommand
from keepstep.cli.sync_job import configured, with_params
from keepstep.errors import ExitCode
from keepstep.jobs.option_parsing import global_options
from keepstep.jobs.settings import CloudSettings
from keepstep.jobs.sync_options import NO_EFFECT, sync_options
from keepstep.jobs.sync_params import SyncParams
from keepstep.jobs.sync_work import SyncWork, sync_work
from keepstep.limits import raise_open_files
from keepstep.objects.journal import SyncJournal
from keepstep.runs.progress import Observer, Progress
from keepstep.runs.recording import Recording
from keepstep.runs.report import Report
from keepstep.state.place import own_folder
from keepstep.stores import bling
from keepstep.stores.address import Address

_EXAMPLES = """
keepstep sync ./site s3://bucket/site --delete --dryrun
keepstep sync oci://bucket@namespace/data/ s3://bucket/data/
keepstep sync s3://bucket/backup ./backup --exclude '*' --include '*.csv'
keepstep sync reports
"""


@click.command(cls=SyncCommand, examples=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source")
@click.argument("target", required=False)
@sync_options
@global_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Make TARGET match SOURCE, each a path, s3://bucket/prefix or oci://bucket@namespace/prefix.

    Objects that are missing at the target, differ in size or are newer are transferred, as by aws s3 sync. A single
    argument is the name of a job in keepstep.toml; options on the command line override those of the job.
    """
    with ExitStack() as stack:
        settings, config, name, notes = CloudSettings(), None, options["source"], own_folder()
        if options["target"] is None:
            job = configured(ctx, name)
            config, settings, notes = job.config, job.identities, job.config.state.place.notes
            options = with_params(ctx, options, job)
        options = merge_globals(ctx, options)
        recording = stack.enter_context(recording_of(config if not options["dryrun"] else None, name, "sync"))
        sys.exit(_run(options, settings, notes, recording))


def _run(options: dict[str, Any], settings: CloudSettings, notes: Path | None, recording: Recording) -> ExitCode:
    raise_open_files()
    work = sync_work(options["source"], options["target"], SyncParams.of(options), settings)
    finish = finishing(work)
    with closing(work.journal(notes)) as journal, terminal_of(options) as terminal:
        for name in filter(options.get, NO_EFFECT):
            terminal.noted(f"{NO_EFFECT[name]} has no effect: keepstep has no such output")
        progress = Progress(terminal)
        recording.progress = progress.shown
        keep_actions = options["as_json"] or recording.keeps_actions
        report, interrupted = run(_sync(work, progress, journal, keep_actions=keep_actions))
        finish(report, terminal)
        recording.report = report
        if not report.counts["source_keys"] and not report.counts["failed"]:
            _advise(work.source, report, terminal)
        terminal.summarize(report)
    return hand_in(report, interrupted, as_json=options["as_json"])


async def _sync(
    work: SyncWork, observer: Observer, journal: SyncJournal, *, keep_actions: bool
) -> tuple[Report, ExitCode | None]:
    async with work.sync(observer, journal, keep_actions=keep_actions) as sync:
        return await carried_out(sync)


def _advise(source: Address, report: Report, terminal: Terminal) -> None:
    """An empty source is not an error, but may have a reason worth knowing."""
    if source.kind == "oci" and (advice := bling.advice_when_empty(source)):
        report.warn(advice)
        terminal.warned(advice)


def terminal_of(options: dict[str, Any]) -> Terminal:
    """The terminal output of ``sync`` and ``verify``, by their common options."""
    return Terminal(
        dryrun=options.get("dryrun", False),
        quiet=options["quiet"],
        only_errors=options["only_show_errors"] or options["as_json"],
        explain=options["explain"],
        progress=not options["no_progress"],
        frequency=options["progress_frequency"],
        multiline=options["progress_multiline"],
        verbose=options["verbose"] or options["debug"],
    )

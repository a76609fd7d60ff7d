"""``keepstep verify``: compares the contents of two folders without changing anything."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from keepstep.cli import sync
from keepstep.cli.options import merge_globals
from keepstep.cli.output import hand_in
from keepstep.cli.running import carried_out, run
from keepstep.cli.sync_help import SyncCommand
from keepstep.cli.sync_job import configured, with_params
from keepstep.errors import ExitCode, NotFound
from keepstep.jobs.settings import CloudSettings
from keepstep.jobs.sync_params import SyncParams, read_options
from keepstep.jobs.sync_work import SyncWork, verify_work
from keepstep.limits import raise_open_files
from keepstep.objects.journal import SyncJournal
from keepstep.runs.progress import Observer
from keepstep.runs.report import Report
from keepstep.state.place import own_folder

_SHARED = frozenset(
    "source target exclude include follow_symlinks escape_keys explain jobs bandwidth progress_frequency "
    "progress_multiline only_show_errors sse_c sse_c_key sse_c_copy_source sse_c_copy_source_key request_payer "
    "page_size profile region source_region endpoint_url ca_bundle no_sign_request no_verify_ssl cli_read_timeout "
    "cli_connect_timeout debug config as_json quiet verbose no_progress".split()
)
"""Parameters of ``keepstep sync`` that ``keepstep verify`` shares."""
_EXAMPLES = """
keepstep verify ./site s3://bucket/site
keepstep verify s3://bucket/data oci://bucket@namespace/data --exclude '*.tmp'
keepstep verify reports --json
"""
_CONTENTS = {"compare": "checksum", "size_only": False, "exact_timestamps": False}


@click.command(
    cls=SyncCommand,
    examples=_EXAMPLES,
    params=[each for each in sync.command.params if each.name in _SHARED],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Compare the contents of SOURCE and TARGET, each a path, s3://bucket/prefix or oci://bucket@namespace/prefix.

    Lists what differs and what exists on one side only. Changes nothing. Exits with 0 if both sides are equal, and
    with 1 otherwise. A single argument is the name of a sync job in keepstep.toml, whose filters apply too.
    """
    settings, notes = CloudSettings(), own_folder()
    if options["target"] is None:
        job = configured(ctx, options["source"])
        settings, notes = job.identities, job.config.state.place.notes
        options = with_params(ctx, options, job)
    else:
        options = read_options("", called="verify") | options
    sys.exit(_run(merge_globals(ctx, options) | _CONTENTS, settings, notes))


def _run(options: dict[str, Any], settings: CloudSettings, notes: Path | None) -> ExitCode:
    raise_open_files()
    work = verify_work(options["source"], options["target"], SyncParams.of(options), settings)
    if work.target.kind == "local" and not os.path.isdir(work.target.path):
        raise NotFound(f"the folder {work.target.path} does not exist", hint="check the path")
    with closing(work.journal(notes)) as journal, sync.terminal_of(options) as terminal:
        keep_actions = options["as_json"]
        report, interrupted = run(_verify(work, terminal, journal, keep_actions=keep_actions))
        terminal.summarize(report)
    return hand_in(report, interrupted, as_json=options["as_json"])


async def _verify(
    work: SyncWork, observer: Observer, journal: SyncJournal, *, keep_actions: bool
) -> tuple[Report, ExitCode | None]:
    async with work.verify(observer, journal, keep_actions=keep_actions) as verify:
        return await carried_out(verify)

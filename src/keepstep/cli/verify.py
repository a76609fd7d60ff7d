"""``keepstep verify``: compares the contents of two folders, and changes nothing."""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from keepstep.cli import sync
from keepstep.cli.options import OrderedFilters, merge_globals
from keepstep.cli.output import hand_in
from keepstep.cli.running import carried_out, run
from keepstep.cli.sync_job import completed, configured, words_of
from keepstep.cli.transfer_options import transfer_options
from keepstep.errors import ExitCode, NotFound
from keepstep.jobs.assembly import Assembly, CloudSettings, settings_of
from keepstep.limits import raise_open_files
from keepstep.objects.filters import Filters, Rule
from keepstep.objects.journal import Journal
from keepstep.objects.verify import Verify, VerifyOptions
from keepstep.runs.progress import Observer
from keepstep.runs.report import Report
from keepstep.state.place import own_folder
from keepstep.stores.address import Address, parse
from keepstep.stores.places import identity

_SHARED = frozenset(
    "source target exclude include follow_symlinks escape_keys explain jobs bandwidth progress_frequency "
    "progress_multiline only_show_errors sse_c sse_c_key sse_c_copy_source sse_c_copy_source_key request_payer "
    "page_size profile region source_region endpoint_url ca_bundle no_sign_request no_verify_ssl cli_read_timeout "
    "cli_connect_timeout debug config as_json quiet verbose no_progress".split()
)
"""Parameters of ``keepstep sync`` that mean the same here."""
_CONTENTS = {"compare": "checksum", "size_only": False, "exact_timestamps": False}


@click.command(
    cls=OrderedFilters,
    params=[each for each in sync.command.params if each.name in _SHARED],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Compares SOURCE and TARGET, each a path, s3://bucket/prefix or oci://bucket@namespace/prefix, by contents.

    Names what differs and what is only at one side; exit code 0 when there is no such thing, 1 otherwise. Nothing
    is changed. With one argument, that is the name of a sync job in keepstep.toml, whose filters count too.
    """
    settings, notes = CloudSettings(), own_folder()
    words = ["--", options["source"], options["target"]]
    if options["target"] is None:
        config, job = configured(ctx, options["source"])
        settings = settings_of(job.identity or config.identity)
        notes, words = config.state.place.notes, words_of(job)
    options = merge_globals(ctx, completed(ctx, options, words, sync.command)) | _CONTENTS
    sys.exit(_run(options, sync.overridden(settings, options), notes))


def _run(options: dict[str, Any], settings: CloudSettings, notes: Path | None) -> ExitCode:
    raise_open_files()
    source, target = parse(options["source"]), parse(options["target"])
    assembly = Assembly(settings, transfer_options(options, source, target))
    source, target = assembly.located(source, is_target=False), assembly.located(target, is_target=True)
    assembly = replace(assembly, places=(source, target))
    journal = Journal(notes, identity(source), identity(target))
    if target.kind == "local" and not os.path.isdir(target.path):
        raise NotFound(f"the folder {target.path} does not exist", hint="check the path")
    with closing(journal), sync.terminal_of(options) as terminal:
        if "s3" in (source.kind, target.kind):
            assembly = sync.with_s3_block(assembly, options)
        wanted = VerifyOptions(
            Filters([Rule(*given) for given in options["filters"]]),
            explain=options["explain"],
            jobs=options["jobs"],
            bandwidth=options["bandwidth"],
            keep_actions=options["as_json"],
        )
        report, interrupted = run(_verify(source, target, assembly, wanted, terminal, journal))
        terminal.summarize(report)
    return hand_in(report, interrupted, as_json=options["as_json"])


async def _verify(
    source: Address,
    target: Address,
    assembly: Assembly,
    options: VerifyOptions,
    observer: Observer,
    journal: Journal,
) -> tuple[Report, ExitCode | None]:
    async with AsyncExitStack() as stack:
        ours, theirs = assembly.source(source), assembly.target(target)
        stack.push_async_callback(ours.close)
        stack.push_async_callback(theirs.close)
        return await carried_out(Verify(ours, theirs, options, observer, journal=journal))

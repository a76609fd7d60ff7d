"""``keepstep sync``: brings a target folder in step with a source folder."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack, suppress
from typing import Any

import click

from keepstep.assembly import Assembly, CloudSettings, direction
from keepstep.cli.options import OrderedFilters, global_options, merge_globals
from keepstep.cli.output import Terminal
from keepstep.cli.running import Interruption, run
from keepstep.errors import ExitCode
from keepstep.objects.filters import Filters, Rule
from keepstep.objects.guard import Cap
from keepstep.objects.plan import Rules
from keepstep.objects.sync import Sync, SyncOptions
from keepstep.runs.report import Report
from keepstep.stores.address import Address, parse


@click.command(cls=OrderedFilters, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source")
@click.argument("target")
@click.option("--delete", is_flag=True, help="Deletes what is only at the target, after the guard has agreed.")
@click.option("--exclude", metavar="PATTERN", multiple=True, help="Leaves out keys that match; may be repeated.")
@click.option("--include", metavar="PATTERN", multiple=True, help="Takes them in again; the last match decides.")
@click.option("--dryrun", is_flag=True, help="Says what would be done, and does nothing.")
@click.option("--size-only", is_flag=True, help="Compares sizes alone.")
@click.option("--exact-timestamps", is_flag=True, help="Downloads: takes same-sized objects when times differ.")
@click.option("--only-show-errors", is_flag=True, help="Says nothing but errors and warnings.")
@click.option("--explain", is_flag=True, help="Says for each key which rule fired.")
@click.option("--max-delete", metavar="N|N%", help="Refuses to delete more than this [default: 50%].")
@click.option("--allow-empty-source", is_flag=True, help="Lets an empty source empty the target.")
@click.option("--jobs", type=click.IntRange(1, 1024), default=32, show_default=True, help="Objects in flight.")
@click.option("--profile", help="AWS profile.")
@click.option("--region", help="AWS region.")
@click.option("--source-region", help="AWS region of the source bucket, when it differs.")
@click.option("--endpoint-url", help="Address of an S3-compatible store.")
@click.option("--ca-bundle", help="PEM file with the CA certificates to trust.")
@click.option("--no-sign-request", is_flag=True, help="Public buckets: asks S3 without credentials.")
@global_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Brings TARGET in step with SOURCE, each a path, s3://bucket/prefix or oci://bucket@namespace/prefix.

    An object moves when it is missing at the target, has another size or is newer, by the rules of aws s3 sync.
    """
    options = merge_globals(ctx, options)
    source, target = parse(options["source"]), parse(options["target"])
    settings = CloudSettings(
        profile=options["profile"],
        region=options["region"],
        source_region=options["source_region"],
        endpoint_url=options["endpoint_url"],
        ca_bundle=options["ca_bundle"],
        no_sign_request=options["no_sign_request"],
    )
    sync_options = SyncOptions(
        rules=Rules(
            direction(source, target),
            delete=options["delete"],
            size_only=options["size_only"],
            exact_timestamps=options["exact_timestamps"],
        ),
        filters=Filters([Rule(*given) for given in options["filters"]]),
        cap=Cap.parse(options["max_delete"]) if options["max_delete"] else Cap(),
        allow_empty_source=options["allow_empty_source"],
        dryrun=options["dryrun"],
        explain=options["explain"],
        jobs=options["jobs"],
        keep_actions=options["as_json"],
    )
    with Terminal(
        dryrun=options["dryrun"],
        quiet=options["quiet"],
        only_errors=options["only_show_errors"] or options["as_json"],
        explain=options["explain"],
        progress=not options["no_progress"],
    ) as terminal:
        report, interrupted = run(_sync(source, target, Assembly(settings), sync_options, terminal))
        terminal.summarize(report)
    if interrupted:
        report.exit_code = interrupted
    if options["as_json"]:
        report.write_json(sys.stdout)
    sys.stdout.flush()
    sys.exit(report.exit_code)


async def _sync(
    source: Address, target: Address, assembly: Assembly, options: SyncOptions, terminal: Terminal
) -> tuple[Report, ExitCode | None]:
    async with AsyncExitStack() as stack:
        ours, theirs = assembly.source(source), assembly.target(target)
        stack.push_async_callback(ours.close)
        stack.push_async_callback(theirs.close)
        sync = Sync(ours, theirs, options, terminal)
        with Interruption(sync.stop) as interruption:
            with suppress(asyncio.CancelledError):
                await sync.run()
            return sync.report, interruption.code

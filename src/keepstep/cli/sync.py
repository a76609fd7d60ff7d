"""``keepstep sync``: brings a target folder in step with a source folder."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from keepstep.cli.aws_options import NO_EFFECT, aws_options
from keepstep.cli.options import OrderedFilters, global_options, merge_globals
from keepstep.cli.output import Terminal, hand_in
from keepstep.cli.recording import recording_of
from keepstep.cli.running import carried_out, run
from keepstep.cli.sync_ending import check_places, check_trash, finishing
from keepstep.cli.sync_job import configured, with_params
from keepstep.cli.transfer_options import transfer_options
from keepstep.cli.values import DeleteCap, Duration, Rate
from keepstep.errors import ExitCode, Misuse
from keepstep.jobs.assembly import Assembly, CloudSettings, direction, settings_of
from keepstep.limits import raise_open_files
from keepstep.objects.case import OnConflict
from keepstep.objects.filters import Filters, Rule
from keepstep.objects.guard import Cap
from keepstep.objects.high_water import Pace
from keepstep.objects.journal import Journal
from keepstep.objects.plan import Rules
from keepstep.objects.sync import Sync, SyncOptions
from keepstep.runs.progress import Observer, Progress
from keepstep.runs.recording import Recording
from keepstep.runs.report import Report
from keepstep.state.place import own_folder
from keepstep.stores import bling
from keepstep.stores.address import Address, parse
from keepstep.stores.places import identity


@click.command(cls=OrderedFilters, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source")
@click.argument("target", required=False)
@click.option("--delete", is_flag=True, help="Deletes what is only at the target, after the guard has agreed.")
@click.option("--exclude", metavar="PATTERN", multiple=True, help="Leaves out keys that match; may be repeated.")
@click.option("--include", metavar="PATTERN", multiple=True, help="Takes them in again; the last match decides.")
@click.option("--dryrun", is_flag=True, help="Says what would be done, and does nothing.")
@click.option("--size-only", is_flag=True, help="Compares sizes alone.")
@click.option("--exact-timestamps", is_flag=True, help="Downloads: takes same-sized objects when times differ.")
@click.option("--no-overwrite", is_flag=True, help="Leaves alone whatever is at the target.")
@click.option("--follow-symlinks/--no-follow-symlinks", default=True, help="Uploads: what links lead to, or not.")
@click.option(
    "--case-conflict",
    type=click.Choice([each.value for each in OnConflict]),
    default="ignore",
    help="Downloads whose names differ only in case [ignore].",
)
@click.option("--only-show-errors", is_flag=True, help="Says nothing but errors and warnings.")
@click.option("--progress-frequency", type=click.IntRange(0), metavar="SECONDS", help="Least time between updates.")
@click.option("--progress-multiline", is_flag=True, help="Progress as lines on stderr, also without a terminal.")
@click.option(
    "--compare",
    type=click.Choice(["aws", "size", "checksum"]),
    default="aws",
    help="What makes an object differ: size and time as in aws s3 sync, size, or contents [aws].",
)
@click.option("--explain", is_flag=True, help="Says for each key which rule fired.")
@click.option(
    "--max-delete", type=DeleteCap(), metavar="N|N%", help="Refuses to delete more than this [default: 50%]."
)
@click.option("--allow-empty-source", is_flag=True, help="Lets an empty source empty the target.")
@click.option("--full-every", type=Duration(), metavar="TIME", help="Cost reports: how often all are listed [24h].")
@click.option("--overlap", type=Duration(), metavar="TIME", help="Cost reports: how late one may come [5d].")
@click.option("--escape-keys", is_flag=True, help="Keys that cannot be file names are, as names that can be.")
@click.option("--trash", metavar="ADDRESS", help="Keeps there what is deleted or overwritten at the target.")
@click.option("--bandwidth", type=Rate(), help="Most bytes a second through here: 50MiB/s.")
@click.option(
    "--chmod", metavar="MODE", help="Mode of everything under a local target after the run, as for chmod -R."
)
@click.option("--chown", metavar="USER[:GROUP]", help="Owner of everything under a local target after the run.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Objects in flight [as many as pay].")
@aws_options
@global_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Brings TARGET in step with SOURCE, each a path, s3://bucket/prefix or oci://bucket@namespace/prefix.

    An object moves when it is missing at the target, has another size or is newer, by the rules of aws s3 sync.
    With one argument, that is the name of a job in keepstep.toml; options given here go before its own.
    """
    with ExitStack() as stack:
        settings, config, name = CloudSettings(), None, options["source"]
        notes = own_folder()
        if options["target"] is None:
            config, job = configured(ctx, name)
            notes = config.state.place.notes
            options = with_params(ctx, options, job)
            settings = settings_of(job.identity or config.identity)
        options = merge_globals(ctx, options)
        recording = stack.enter_context(recording_of(config if not options["dryrun"] else None, name, "sync"))
        sys.exit(_run(options, overridden(settings, options), notes, recording))


def _run(options: dict[str, Any], settings: CloudSettings, notes: Path | None, recording: Recording) -> ExitCode:
    raise_open_files()
    source, target = parse(options["source"]), parse(options["target"])
    finish = finishing(options, target)
    assembly = Assembly(settings, transfer_options(options, source, target))
    source, target = assembly.located(source, is_target=False), assembly.located(target, is_target=True)
    check_places(source, target)
    trash = _trash(options["trash"], assembly, source, target)
    assembly = replace(assembly, places=(source, target, *([trash] if trash else [])))
    journal = Journal(notes, identity(source), identity(target))
    with closing(journal), terminal_of(options) as terminal:
        for name in filter(options.get, NO_EFFECT):
            terminal.noted(f"{NO_EFFECT[name]} has no effect: keepstep has no such output")
        if "s3" in (source.kind, target.kind):
            assembly = with_s3_block(assembly, options)
        sync_options = replace(
            _sync_options(options, source, target),
            transfer=assembly.options,
            keep_actions=options["as_json"] or recording.keeps_actions,
        )
        progress = Progress(terminal)
        recording.progress = progress.shown
        report, interrupted = run(_sync(source, target, trash, assembly, sync_options, progress, journal))
        finish(report, terminal)
        recording.report = report
        if not report.counts["source_keys"] and not report.counts["failed"]:
            _advise(source, report, terminal)
        terminal.summarize(report)
    return hand_in(report, interrupted, as_json=options["as_json"])


def _trash(text: str | None, assembly: Assembly, source: Address, target: Address) -> Address | None:
    if text is None:
        return None
    trash = assembly.located(parse(text), is_target=True)
    check_trash(text, trash, source, target)
    return trash


async def _sync(
    source: Address,
    target: Address,
    trash: Address | None,
    assembly: Assembly,
    options: SyncOptions,
    observer: Observer,
    journal: Journal,
) -> tuple[Report, ExitCode | None]:
    async with AsyncExitStack() as stack:
        ours, theirs = assembly.source(source), assembly.target(target)
        stack.push_async_callback(ours.close)
        stack.push_async_callback(theirs.close)
        kept = assembly.trash(trash) if trash else None
        if kept:
            stack.push_async_callback(kept.close)
        return await carried_out(Sync(ours, theirs, options, observer, trash=kept, journal=journal))


def _advise(source: Address, report: Report, terminal: Terminal) -> None:
    """An empty source is no error, but may have a reason worth knowing."""
    if source.kind == "oci" and (advice := bling.advice_when_empty(source)):
        report.warn(advice)
        terminal.warned(advice)


def with_s3_block(assembly: Assembly, options: dict[str, Any]) -> Assembly:
    """What the profile's ``s3 =`` block says, where the command line says nothing."""
    block = assembly.s3_block
    options["jobs"] = options["jobs"] or block.max_concurrent_requests
    options["bandwidth"] = options["bandwidth"] or block.max_bandwidth
    transfer = replace(
        assembly.options,
        multipart_threshold=block.multipart_threshold,
        multipart_chunksize=block.multipart_chunksize,
    )
    return replace(assembly, options=transfer)


def _sync_options(options: dict[str, Any], source: Address, target: Address) -> SyncOptions:
    return SyncOptions(
        rules=_rules(options, source, target),
        filters=Filters([Rule(*given) for given in options["filters"]]),
        cap=options["max_delete"] or Cap(),
        allow_empty_source=options["allow_empty_source"],
        dryrun=options["dryrun"],
        explain=options["explain"],
        jobs=options["jobs"],
        bandwidth=options["bandwidth"],
        case_conflict=OnConflict(options["case_conflict"]),
        pace=_pace(options, source),
        ignores_archived=options["ignore_glacier_warnings"],
    )


def _rules(options: dict[str, Any], source: Address, target: Address) -> Rules:
    compare = options["compare"]
    for name in ("size_only", "exact_timestamps"):
        if options[name] and compare != "aws" and (name, compare) != ("size_only", "size"):
            option = "--" + name.replace("_", "-")
            raise Misuse(f"{option} and --compare {compare} contradict each other", hint="leave one of them out")
    return Rules(
        direction(source, target),
        delete=options["delete"],
        size_only=options["size_only"] or compare == "size",
        exact_timestamps=options["exact_timestamps"],
        no_overwrite=options["no_overwrite"],
        contents=compare == "checksum",
    )


def _pace(options: dict[str, Any], source: Address) -> Pace | None:
    """Cost reports are never changed, and their names tell their age."""
    if source.namespace != bling.NAMESPACE:
        return None
    said = {name: options[name] for name in ("full_every", "overlap") if options[name] is not None}
    return Pace(**said)


def overridden(settings: CloudSettings, options: dict[str, Any]) -> CloudSettings:
    """What the options say goes before what the file says."""
    names = ("profile", "region", "source_region", "endpoint_url", "ca_bundle")
    said = {name: options[name] for name in names if options[name]}
    timeouts = {"read_timeout": options["cli_read_timeout"], "connect_timeout": options["cli_connect_timeout"]}
    return replace(settings, **said, **timeouts, no_sign_request=options["no_sign_request"])


def terminal_of(options: dict[str, Any]) -> Terminal:
    """What ``sync`` and ``verify`` say on a terminal, by their common options."""
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

"""``keepstep sync``: brings a target folder in step with a source folder."""

from __future__ import annotations

import asyncio
import shlex
import sys
from contextlib import AsyncExitStack, ExitStack, closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from keepstep.assembly import Assembly, CloudSettings, direction
from keepstep.cli.options import OrderedFilters, global_options, merge_globals
from keepstep.cli.output import Terminal
from keepstep.cli.recording import recording_of
from keepstep.cli.running import Interruption, run
from keepstep.errors import ConfigError, ExitCode
from keepstep.objects.filters import Filters, Rule
from keepstep.objects.guard import Cap
from keepstep.objects.journal import Journal
from keepstep.objects.plan import Rules
from keepstep.objects.sync import Sync, SyncOptions
from keepstep.runs.lock import lock_folder, only_run, state_folder
from keepstep.runs.progress import Observer, Progress
from keepstep.runs.recording import Recording
from keepstep.runs.report import Report
from keepstep.stores.address import Address, parse

if TYPE_CHECKING:
    from keepstep.config import Config, SyncJob


@click.command(cls=OrderedFilters, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source")
@click.argument("target", required=False)
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
    With one argument, that is the name of a job in keepstep.toml; options given here go before its own.
    """
    with ExitStack() as stack:
        settings, state, state_url, name = CloudSettings(), None, None, options["source"]
        if options["target"] is None:
            config, job = _configured(ctx, name)
            state, state_url = config.state, config.state.url
            stack.enter_context(only_run(name, lock_folder(state_url)))
            options = _with_params(ctx, options, job)
            settings = _settings_of(config, job)
        options = merge_globals(ctx, options)
        recording = stack.enter_context(recording_of(state if not options["dryrun"] else None, name, "sync"))
        journal = stack.enter_context(
            closing(Journal(state_folder(state_url), options["source"], options["target"]))
        )
        sys.exit(_run(options, _overridden(settings, options), journal, recording))


def _run(options: dict[str, Any], settings: CloudSettings, journal: Journal, recording: Recording) -> ExitCode:
    source, target = parse(options["source"]), parse(options["target"])
    with Terminal(
        dryrun=options["dryrun"],
        quiet=options["quiet"],
        only_errors=options["only_show_errors"] or options["as_json"],
        explain=options["explain"],
        progress=not options["no_progress"],
    ) as terminal:
        sync_options = _sync_options(options, source, target, keep_actions=recording.keeps_actions)
        progress = Progress(terminal)
        recording.progress = progress.shown
        report, interrupted = run(_sync(source, target, Assembly(settings), sync_options, progress, journal))
        recording.report = report
        if not report.counts["source_keys"] and not report.counts["failed"]:
            _advise(source, report, terminal)
        terminal.summarize(report)
    report.exit_code = interrupted or report.exit_code
    if options["as_json"]:
        report.write_json(sys.stdout)
    sys.stdout.flush()
    return report.exit_code


async def _sync(
    source: Address,
    target: Address,
    assembly: Assembly,
    options: SyncOptions,
    observer: Observer,
    journal: Journal,
) -> tuple[Report, ExitCode | None]:
    async with AsyncExitStack() as stack:
        ours, theirs = assembly.source(source), assembly.target(target)
        stack.push_async_callback(ours.close)
        stack.push_async_callback(theirs.close)
        sync = Sync(ours, theirs, options, observer, journal=journal)
        with Interruption(sync.stop) as interruption:
            with suppress(asyncio.CancelledError):
                await sync.run()
            return sync.report, interruption.code


def _advise(source: Address, report: Report, terminal: Terminal) -> None:
    """An empty source is no error, but may have a reason worth knowing."""
    if source.kind == "oci":
        from keepstep.stores.bling import advice_when_empty

        if advice := advice_when_empty(source):
            report.warn(advice)
            terminal.warned(advice)


def _sync_options(options: dict[str, Any], source: Address, target: Address, *, keep_actions: bool) -> SyncOptions:
    return SyncOptions(
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
        keep_actions=options["as_json"] or keep_actions,
    )


def _configured(ctx: click.Context, name: str) -> tuple[Config, SyncJob]:
    # pydantic costs a tenth of a second; a sync of two addresses does not need it.
    from keepstep.config import SyncJob, find, job_of, load

    path = find((ctx.find_root().obj or {}).get("config"))
    if path is None:
        raise ConfigError(
            f"sync {name}: no target, and no keepstep.toml that could have a job of that name",
            hint="keepstep sync SOURCE TARGET, or name the file with --config",
        )
    config = load(path)
    job = job_of(config, name)
    if not isinstance(job, SyncJob):
        raise ConfigError(f"the job {name} is of kind {job.kind}, not sync")
    return config, job


def _with_params(ctx: click.Context, given: dict[str, Any], job: SyncJob) -> dict[str, Any]:
    """The job's own options, and before them those that stand on the command line."""
    configured = command.make_context("params", [*shlex.split(job.params), "--", job.source, job.target]).params
    for name, value in given.items():
        if name not in ("source", "target") and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            configured[name] = value
    configured["filters"] = [*configured["filters"], *given["filters"]]
    return configured


def _settings_of(config: Config, job: SyncJob) -> CloudSettings:
    identity = job.identity or config.identity
    return CloudSettings(
        profile=identity.aws.profile,
        region=identity.aws.region,
        endpoint_url=identity.aws.endpoint_url,
        ca_bundle=identity.aws.ca_bundle,
        role_arn=tuple(identity.aws.role_arn),
        oci_auth=identity.oci.auth,
        oci_profile=identity.oci.profile,
        oci_config_file=identity.oci.config_file,
    )


def _overridden(settings: CloudSettings, options: dict[str, Any]) -> CloudSettings:
    """What the options say goes before what the file says."""
    names = ("profile", "region", "source_region", "endpoint_url", "ca_bundle")
    said = {name: options[name] for name in names if options[name]}
    return replace(settings, **said, no_sign_request=options["no_sign_request"])

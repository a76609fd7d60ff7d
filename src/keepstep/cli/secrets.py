"""``keepstep secrets``: writes secrets of both clouds to files."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click

from keepstep.cli.options import Group, merge_globals
from keepstep.cli.recording import alone, recording_of
from keepstep.cli.running import Interruption, late_signal, run
from keepstep.cli.secrets_job import ask, chosen_secrets
from keepstep.cli.secrets_output import Lines, table
from keepstep.clock import SystemClock
from keepstep.config import parse_duration
from keepstep.errors import ExitCode
from keepstep.jobs.assembly import recipients
from keepstep.jobs.option_parsing import global_options
from keepstep.jobs.secrets import ResolvedSecrets
from keepstep.jobs.settings import secret_setting
from keepstep.runs.report import Report, action_log
from keepstep.secrets.ages import Ages
from keepstep.secrets.apply import Apply, ApplyOptions
from keepstep.secrets.drift import Drift, DriftState, FileState, Fingerprints
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.fields import field_of


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return parse_duration(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


_HELP = {"help_option_names": ["-h", "--help"]}
_jobs = click.option(
    "--jobs", type=click.IntRange(1, 256), default=32, show_default=True, help="Secrets to fetch at a time."
)


@click.group(cls=Group, context_settings=_HELP)
def command() -> None:
    """Write secrets of OCI Vault, Secrets Manager and Parameter Store to files."""


@command.command(context_settings=_HELP)
@click.argument("map", metavar="[MAP|JOB]", required=False)
@click.option("--dryrun", is_flag=True, help="Show what would be done without doing it.")
@click.option(
    "--max-stale",
    type=_Duration(),
    help="Accept files up to this age while a vault is unavailable, for example 24h.",
)
@_jobs
@global_options
@click.pass_context
def apply(ctx: click.Context, /, **options: Any) -> None:
    """Write changed secrets to files and signal the containers that use them.

    MAP is a map.csv with lines ocid,path,mode,container,signal; without it /etc/oci-secretsync/map.csv is used,
    then /etc/keepstep/map.csv. JOB is a job of keepstep.toml. Exits with 0 if nothing changed, with 3 if something
    did, and with 1 if something failed.
    """
    options = merge_globals(ctx, options)
    work = chosen_secrets(ctx, options["map"])
    with ExitStack() as stack:
        if not options["dryrun"] and not work.is_recorded:
            stack.enter_context(alone(work.config.state.place, work.lock, "secrets"))
        config = None if options["dryrun"] or not work.is_recorded else work.config
        recording = stack.enter_context(recording_of(config, work.name, "secrets"))
        report = recording.report = Report(
            "secrets",
            work.name,
            socket.gethostname(),
            SystemClock().now(),
            is_dryrun=options["dryrun"],
            actions=action_log() if options["as_json"] or recording.keeps_actions else None,
        )
        interrupted = run(_apply(work, report, options))
        report.exit_code = interrupted or late_signal() or report.exit_code
    if options["as_json"]:
        report.write_json(sys.stdout)
        sys.stdout.flush()
    sys.exit(report.exit_code)


async def _apply(work: ResolvedSecrets, report: Report, options: dict[str, Any]) -> ExitCode | None:
    async with AsyncExitStack() as stack:
        told = recipients()
        for recipient in {id(each): each for each in told.values()}.values():
            stack.push_async_callback(recipient.close)
        job = Apply(
            work.plan,
            work.vaults(stack),
            told,
            report,
            Lines(
                dryrun=options["dryrun"],
                quiet=options["quiet"] or options["as_json"],
                verbose=options["verbose"],
            ),
            options=ApplyOptions(
                dryrun=options["dryrun"],
                max_stale=options["max_stale"] or work.job.max_stale,
                jobs=options["jobs"],
            ),
            ages=Ages(None) if options["dryrun"] else work.ages(is_kept=True),
        )
        with Interruption(job.stop) as interruption:
            with suppress(asyncio.CancelledError):
                await job.run()
            return interruption.code


@command.command(context_settings=_HELP)
@click.argument("map", metavar="[MAP|JOB]", required=False)
@click.option(
    "--fingerprint-key", metavar="ADDRESS", help="Secret that keys the fingerprints, so that hosts can be compared."
)
@_jobs
@global_options
@click.pass_context
def drift(ctx: click.Context, /, **options: Any) -> None:
    """Show which version each file has, never a value. Exits with 0 if all are current, and with 1 otherwise."""
    options = merge_globals(ctx, options)
    work = chosen_secrets(ctx, options["map"])
    given = options["fingerprint_key"]
    key = secret_setting(given, called="--fingerprint-key") if given else work.fingerprint_key
    fingerprints, states = ask(_drift(work, key, options["jobs"]))
    if options["as_json"]:
        _write_drift(fingerprints, states)
    elif not options["quiet"]:
        for line in table(states):
            click.echo(line)
        lines = Lines()
        for state in states:
            lines.hint(state.hint)
    sys.exit(ExitCode.DONE if all(state.state is DriftState.IN_STEP for state in states) else ExitCode.FAILED)


async def _drift(
    work: ResolvedSecrets, key: SecretAddress | None, jobs: int
) -> tuple[Fingerprints, list[FileState]]:
    async with AsyncExitStack() as stack:
        vaults = work.vaults(stack, *([key.vault] if key else []))
        fingerprints = Fingerprints()
        if key:
            value = await vaults[key.vault].get(key.name)
            fingerprints = Fingerprints(field_of(value.content.reveal_bytes(), key))
        return fingerprints, await Drift(work.plan, vaults, fingerprints, work.ages(is_kept=False), jobs).files()


def _write_drift(fingerprints: Fingerprints, states: list[FileState]) -> None:
    document = {
        "version": 1,
        "kind": "drift",
        "host": socket.gethostname(),
        "fingerprint_key": fingerprints.key_id,
        "files": [asdict(state) for state in states],
    }
    click.echo(json.dumps(document, indent=1))

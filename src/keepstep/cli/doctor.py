"""``keepstep doctor``: what a job needs, looked at without changing anything."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from keepstep.cli.options import Command, config_file, global_options, merge_globals
from keepstep.cli.rotate_job import NAME, job_of_environment
from keepstep.cli.running import run
from keepstep.cli.transfer_options import transfer_options
from keepstep.config import Config, RotateJob, SecretsJob, SyncJob, job_of, load
from keepstep.doctor.check import Check, Verdict, exit_code, of_error
from keepstep.doctor.checks import examined
from keepstep.doctor.context import JobUnderTest
from keepstep.errors import ConfigError, Error
from keepstep.jobs.assembly import CloudSettings, instance_by_default, settings_of
from keepstep.secrets.map import DEFAULT_PATHS, Map, find_map, read_map
from keepstep.secrets.plan import make_plan
from keepstep.stores.address import parse
from keepstep.text import shown

_LONGEST = 2000
"""Characters of what to do: policy statements are long."""
_MARKS = {
    Verdict.OK: ("ok", "green"),
    Verdict.FAIL: ("FAIL", "red"),
    Verdict.WARN: ("warn", "yellow"),
    Verdict.UNKNOWN: ("?", "yellow"),
}


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("job", metavar="[JOB|MAP]", required=False)
@click.option(
    "--probe-fencing",
    metavar="SECRET",
    multiple=True,
    help="Proves on this scratch secret (OCID, aws-sm:NAME) that a second writer is refused. It gets new versions.",
)
@global_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Checks everything that JOB needs, or every job, and says what to do; changes nothing.

    Without a keepstep.toml it looks at what the variables of the container or of the rotation describe, or at the
    map file. Ends with 0 when nothing fails (what is unknown is no failure), and with 1 otherwise.
    """
    options = merge_globals(ctx, options)
    path = config_file(ctx)
    config = load(path) if path else Config()
    patients, checks = _patients(ctx, config, options["job"], is_configured=path is not None)
    if not patients and not checks and not options["probe_fencing"]:
        raise ConfigError("there is nothing to look at", hint=_NOTHING)
    settings = patients[0].settings if options["job"] and patients else settings_of(config.identity)
    checks += run(
        examined(config, patients, settings, options["probe_fencing"], is_recorded=bool(path) and bool(config.job))
    )
    if options["as_json"]:
        document = {"version": 1, "kind": "doctor", "checks": [asdict(check) for check in checks]}
        click.echo(json.dumps(document, indent=1))
    else:
        _tell(checks, quiet=options["quiet"])
    sys.exit(exit_code(checks))


_NOTHING = "write a keepstep.toml with jobs, name a map file, or set SYNC_FROM and SYNC_TO, or AWS_SECRET_ID"


def _patients(
    ctx: click.Context, config: Config, name: str | None, *, is_configured: bool
) -> tuple[list[JobUnderTest], list[Check]]:
    """The jobs that are meant, and what is wrong with those that make no sense. Raises :class:`ConfigError`."""
    if name is None and not (is_configured and config.job):
        return _of_environment(ctx, config), []
    if name is not None and name not in config.job and ("/" in name or name.endswith(".csv")):
        return [_of_secrets(config, SecretsJob(kind="secrets", map=name), name)], []
    if name is not None:
        job_of(config, name)
    patients, checks = [], []
    for each in [name] if name is not None else config.job:
        try:
            patients.append(_patient(ctx, config, each))
        except Error as error:
            checks.append(replace(of_error("job", each, error), job=each))
    return patients, checks


def _patient(ctx: click.Context, config: Config, name: str) -> JobUnderTest:
    job = config.job[name]
    if isinstance(job, SyncJob):
        return _of_sync(ctx, config, job, name)
    if isinstance(job, SecretsJob):
        return _of_secrets(config, job, name)
    return JobUnderTest(name=name, job=job, settings=settings_of(job.identity or config.identity))


def _of_sync(ctx: click.Context, config: Config, job: SyncJob, name: str) -> JobUnderTest:
    """With the options that the job's params stand for."""
    from keepstep.cli.sync import command as sync

    words = [*shlex.split(job.params), "--", job.source, job.target]
    options = sync.make_context("params", words, parent=ctx).params
    source, target = parse(job.source), parse(job.target)
    said = {
        word: options[word]
        for word in ("profile", "region", "source_region", "endpoint_url", "ca_bundle")
        if options[word]
    }
    settings: CloudSettings = settings_of(job.identity or config.identity)
    return JobUnderTest(
        name=name,
        job=job,
        settings=replace(settings, **said, no_sign_request=options["no_sign_request"]),
        transfer=transfer_options(options, source, target),
        deletes=options["delete"],
        trash=parse(options["trash"]) if options["trash"] else None,
    )


def _of_secrets(config: Config, job: SecretsJob, name: str) -> JobUnderTest:
    map_ = read_map(Path(job.map)) if job.map else Map()
    settings = instance_by_default(settings_of(job.identity or config.identity))
    return JobUnderTest(name=name, job=job, settings=settings, plan=make_plan(map_, job.file, job.set))


def _of_environment(ctx: click.Context, config: Config) -> list[JobUnderTest]:
    """What the replaced tools' variables and files say."""
    if os.environ.get("SYNC_FROM"):
        from keepstep.hosts.container import read_settings

        given = read_settings(os.environ)
        job = SyncJob(kind="sync", source=str(given.source), target=str(given.target), params=given.params)
        patient = _of_sync(ctx, config, job, "sync")
        roles = (given.role,) if given.role else ()
        return [replace(patient, settings=replace(patient.settings, role_arn=roles))]
    if os.environ.get("AWS_SECRET_ID"):
        rotation: RotateJob = job_of_environment(os.environ)
        return [JobUnderTest(name=NAME, job=rotation, settings=settings_of(config.identity))]
    found = str(find_map()) if any(os.path.exists(path) for path in DEFAULT_PATHS) else None
    return [_of_secrets(config, SecretsJob(kind="secrets", map=found), found)] if found else []


def _tell(checks: list[Check], *, quiet: bool) -> None:
    """Failures and warnings with their fix; a line for each of the others unless ``quiet``."""
    for check in checks:
        if quiet and check.verdict not in (Verdict.FAIL, Verdict.WARN):
            continue
        mark, colour = _MARKS[check.verdict]
        where = f"{check.job}: " if check.job and check.job != check.about else ""
        said = f"{check.name}  {where}{shown(check.about)}: {shown(check.text)}"
        click.echo(f"{click.style(mark.ljust(4), fg=colour)}  {said}")
        if check.fix:
            click.echo(f"      fix: {shown(check.fix, _LONGEST)}")
    if not quiet:
        counts = Counter(check.verdict for check in checks)
        warnings = f", {counts[Verdict.WARN]} warn" if counts[Verdict.WARN] else ""
        click.echo(
            f"{counts[Verdict.OK]} ok, {counts[Verdict.FAIL]} fail{warnings}, {counts[Verdict.UNKNOWN]} unknown"
        )

"""``keepstep doctor``: checks what a job needs, without changing anything."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from keepstep.cli.options import config_file, merge_globals
from keepstep.cli.running import run
from keepstep.config import Config, load
from keepstep.doctor.check import Check, Verdict, exit_code, of_error
from keepstep.doctor.checks import examined
from keepstep.errors import ConfigError, Error
from keepstep.jobs.environment import job_of_variables
from keepstep.jobs.option_parsing import Command, global_options
from keepstep.jobs.resolve import resolve, resolved_jobs
from keepstep.jobs.resolved import ResolvedJob
from keepstep.jobs.secrets import secrets_of_map
from keepstep.jobs.settings import settings_of
from keepstep.secrets.map import DEFAULT_PATHS, find_map
from keepstep.text import shown

_LONGEST = 2000
"""Maximum characters of a fix: policy statements are long."""
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
    help="Prove on this scratch secret (OCID or aws-sm:NAME) that a second writer is refused. Adds versions to it.",
)
@global_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Check everything that JOB needs, or every job, without changing anything.

    Every failure comes with its fix. Without a keepstep.toml it checks what the variables of the container or the
    rotation describe, or the map file. Exits with 0 if nothing fails (unknown is not a failure), and with 1
    otherwise.
    """
    options = merge_globals(ctx, options)
    path = config_file(ctx)
    config = load(path) if path else Config()
    jobs, checks = _chosen(config, options["job"], is_configured=path is not None)
    if not jobs and not checks and not options["probe_fencing"]:
        raise ConfigError("there is nothing to check", hint=_NOTHING)
    settings = jobs[0].settings if options["job"] and jobs else settings_of(config.identity)
    checks += run(
        examined(config, jobs, settings, options["probe_fencing"], is_recorded=bool(path) and bool(config.job))
    )
    if options["as_json"]:
        document = {"version": 1, "kind": "doctor", "checks": [asdict(check) for check in checks]}
        click.echo(json.dumps(document, indent=1))
    else:
        _tell(checks, quiet=options["quiet"])
    sys.exit(exit_code(checks))


_NOTHING = "write a keepstep.toml with jobs, name a map file, or set SYNC_FROM and SYNC_TO, or AWS_SECRET_ID"


def _chosen(config: Config, name: str | None, *, is_configured: bool) -> tuple[list[ResolvedJob], list[Check]]:
    """The selected jobs, and failures for the invalid ones. Raises :class:`ConfigError`."""
    if name is None and not (is_configured and config.job):
        return _of_this_host(config), []
    if name is not None and name not in config.job and ("/" in name or name.endswith(".csv")):
        return [secrets_of_map(config, Path(name))], []
    jobs: list[ResolvedJob] = []
    checks = []
    for job in [resolve(config, name)] if name is not None else resolved_jobs(config):
        try:
            _ = job.clouds, job.settings  # reads the job's map, which everything else needs
            jobs.append(job)
        except Error as error:
            checks.append(replace(of_error("job", job.name, error), job=job.name))
    return jobs, checks


def _of_this_host(config: Config) -> list[ResolvedJob]:
    """Jobs described by the replaced tools' variables and files."""
    if job := job_of_variables(os.environ):
        return [job]
    return [secrets_of_map(config, find_map())] if any(os.path.exists(path) for path in DEFAULT_PATHS) else []


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

"""``keepstep audit``: whether the log of rotations is as it was written."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import click

from keepstep.audit.keys import Keyring
from keepstep.audit.log import folder_of
from keepstep.audit.verify import Verdict, chains_in, verify
from keepstep.cli.options import Group, config_file, global_options, merge_globals
from keepstep.cli.rotate_job import NAME
from keepstep.cli.running import run
from keepstep.config import Audit, Config, RotateJob, load
from keepstep.errors import ConfigError, Error, ExitCode
from keepstep.jobs.assembly import Assembly, CloudSettings, settings_of
from keepstep.jobs.audit import Places, bucket_of, key_of, places_of
from keepstep.stores.address import Address
from keepstep.stores.address import parse as parse_address
from keepstep.stores.interface import Store
from keepstep.stores.places import Relation, relation
from keepstep.text import printable
from keepstep.vaults.address import SecretAddress

_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(cls=Group, context_settings=_HELP)
def command() -> None:
    """Looks at the log of rotations."""


@command.command("verify", context_settings=_HELP)
@click.argument("address", metavar="ADDRESS")
@click.option(
    "--key", metavar="SECRET", help="The secret that signs; as keepstep.toml or AUDIT_HASH_SALT_SSM says."
)
@click.option("--anchor", metavar="ADDRESS", help="Where the entries' hashes are held; as keepstep.toml says.")
@global_options
@click.pass_context
def verify_command(ctx: click.Context, /, **options: Any) -> None:
    """Reads every entry at ADDRESS, such as s3://audit/rotations/ or one job's folder in it.

    Ends with 0 when all are as they were written, and with 1 when one was edited, deleted, moved, inserted or
    signed with a foreign key: it says which. With 2 when nothing is wrong with what is there, and its end may be
    missing: the key has changed since the last entry, and no anchor holds that, or the last anchor is missing.
    """
    options = merge_globals(ctx, options)
    path = config_file(ctx)
    task = _task(load(path) if path else Config(), options["address"], options["key"], options["anchor"])
    verdicts = run(_verify(task))
    if options["as_json"]:
        logs = [_document(verdict) for verdict in verdicts]
        click.echo(json.dumps({"version": 1, "kind": "audit", "logs": logs}, indent=1))
    else:
        for verdict in verdicts:
            _say(verdict, quiet=options["quiet"])
    sys.exit(_code_of(verdicts))


def _code_of(verdicts: list[Verdict]) -> ExitCode:
    if any(verdict.problems for verdict in verdicts):
        return ExitCode.FAILED
    return ExitCode.DONE if all(verdict.is_certain for verdict in verdicts) else ExitCode.SKIPPED


@dataclass(frozen=True, kw_only=True)
class _Task:
    log: Address
    key: SecretAddress
    anchor: Address | None
    settings: CloudSettings
    expected: frozenset[str] = field(default_factory=frozenset)
    """Logs that jobs are configured to write there."""
    is_known: bool = False
    """A job is configured to write there."""


def _task(config: Config, address: str, key: str | None, anchor: str | None) -> _Task:
    """What the command line says, completed by the jobs that write to the address. Raises :class:`ConfigError`."""
    log = parse_address(address)
    audits = {name: job.audit for name, job in config.job.items() if isinstance(job, RotateJob) and job.audit}
    if found := _of_environment():
        audits.setdefault(NAME, found)
    ours = {name: places_of(name, audit) for name, audit in audits.items()}
    ours = {name: places for name, places in ours.items() if _writes_to(places, log)}
    places = next(iter(ours.values()), None)
    secret = key_of(key) if key else (places.key if places else _seed_key())
    if not secret:
        raise ConfigError("the key of the audit log is not known", hint="--key aws-ssm:NAME, or an ARN or OCID")
    is_root = any(_are_same(each.root, log) for each in ours.values())
    jobs = [config.job[name] for name in ours if name in config.job]
    identity = next((job.identity for job in jobs if job.identity), config.identity)
    return _Task(
        log=log,
        key=secret,
        anchor=parse_address(anchor) if anchor else _anchor_of(places, audits, is_root=is_root),
        settings=settings_of(identity),
        expected=frozenset(each.chain for each in ours.values()) if is_root else frozenset(),
        is_known=bool(ours),
    )


def _anchor_of(places: Places | None, audits: dict[str, Audit], *, is_root: bool) -> Address | None:
    """The folder that holds the logs' anchors, or the one of the only log that is looked at."""
    if places is None or places.anchor is None:
        return None
    texts = [audit.anchor for name, audit in audits.items() if places_of(name, audit) == places]
    return bucket_of(texts[0]) if texts and texts[0] else None


def _writes_to(places: Places, log: Address) -> bool:
    return _are_same(log, places.root) or _are_same(log, places.log)


def _are_same(one: Address, other: Address) -> bool:
    return relation(one, other) is Relation.SAME


def _of_environment() -> Audit | None:
    """What a rotation without a file would write to."""
    log, key = os.environ.get("AUDIT_LOG"), os.environ.get("AUDIT_HASH_SALT_SSM")
    return Audit(log=log, key=key) if log and key else None


def _seed_key() -> SecretAddress | None:
    name = os.environ.get("AUDIT_HASH_SALT_SSM")
    return key_of(name) if name else None


async def _verify(task: _Task) -> list[Verdict]:
    async with AsyncExitStack() as stack:
        assembly = Assembly(task.settings)

        def opened(address: Address) -> Store:
            store = assembly.source(address)
            stack.push_async_callback(store.close)
            return store

        vault = assembly.vaults([task.key.vault])[task.key.vault]
        stack.push_async_callback(vault.close)
        keyring = Keyring(vault, task.key)
        chains = await chains_in(opened(task.log)) | task.expected
        if task.anchor and "" not in chains:
            chains |= await chains_in(opened(task.anchor))
        if not chains and not task.is_known:
            raise Error(
                f"there is no audit log at {task.log}", hint="name the folder that audit.log or AUDIT_LOG names"
            )
        verdicts = []
        for chain, folder in _folders(task.log, chains):
            anchor = opened(folder_of(task.anchor, chain)) if task.anchor else None
            verdicts.append(await verify(chain, opened(folder), keyring, anchor))
        return verdicts


def _folders(log: Address, chains: set[str]) -> list[tuple[str, Address]]:
    """Each job with its folder; an address that holds entries itself, or nothing at all, is one job's."""
    if not chains or "" in chains:
        return [(os.path.basename(str(log).rstrip("/")), log)]
    return [(chain, folder_of(log, chain)) for chain in sorted(chains)]


def _say(verdict: Verdict, *, quiet: bool) -> None:
    for problem in verdict.problems:
        click.echo(printable(f"{verdict.address}: {problem.text}"))
    if not quiet:
        click.echo(printable(f"{verdict.address}: {verdict.words}"))
        for note in verdict.notes:
            click.echo(printable(f"note: {note}"), err=True)


def _document(verdict: Verdict) -> dict[str, Any]:
    last = verdict.last
    return {
        "job": verdict.chain,
        "address": verdict.address,
        "intact": verdict.is_intact,
        "certain": verdict.is_certain,
        "empty": verdict.is_empty,
        "anchored": verdict.is_anchored,
        "anchored_to": verdict.anchored,
        "entries": verdict.entries,
        "last": {"sequence": last.sequence, "hash": last.hash, "time": last.time.isoformat()} if last else None,
        "keys": verdict.keys,
        "problems": [asdict(problem) for problem in verdict.problems],
    }

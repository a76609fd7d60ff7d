"""``keepstep audit``: whether the log of rotations is as it was written."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import click

from keepstep.assembly import Assembly, CloudSettings, settings_of
from keepstep.audit.keys import Keyring
from keepstep.audit.log import folder_of
from keepstep.audit.verify import Verdict, chains_in, verify
from keepstep.cli.options import Group, config_file, global_options, merge_globals
from keepstep.cli.running import run
from keepstep.config import Config, RotateJob, load
from keepstep.errors import ConfigError, ExitCode
from keepstep.stores.address import Address
from keepstep.stores.address import parse as parse_address
from keepstep.stores.interface import Store
from keepstep.stores.places import Relation, relation
from keepstep.text import printable
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.address import parse as parse_secret

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
    signed with a foreign key: it says which.
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
    sys.exit(ExitCode.DONE if all(verdict.is_intact for verdict in verdicts) else ExitCode.FAILED)


@dataclass(frozen=True, kw_only=True)
class _Task:
    log: Address
    key: SecretAddress
    anchor: Address | None
    settings: CloudSettings
    expected: frozenset[str] = field(default_factory=frozenset)
    """Jobs that are configured to write there."""


def _task(config: Config, address: str, key: str | None, anchor: str | None) -> _Task:
    """What the command line says, completed by the jobs that write to the address. Raises :class:`ConfigError`."""
    log = parse_address(address)
    jobs = {
        name: job for name, job in config.job.items() if isinstance(job, RotateJob) and _writes_to(job, name, log)
    }
    audit = next((job.audit for job in jobs.values()), None)
    found = key or (audit.key if audit else None) or _seed_key()
    if not found:
        raise ConfigError("the key of the audit log is not known", hint="--key aws-ssm:NAME, or an ARN or OCID")
    held = anchor or (audit.anchor if audit else None)
    identity = next((job.identity for job in jobs.values() if job.identity), config.identity)
    is_root = any(_are_same(parse_address(job.audit.log), log) for job in jobs.values() if job.audit)
    return _Task(
        log=log,
        key=parse_secret(found),
        anchor=parse_address(held) if held else None,
        settings=settings_of(identity),
        expected=frozenset(jobs) if is_root else frozenset(),
    )


def _writes_to(job: RotateJob, name: str, log: Address) -> bool:
    if job.audit is None:
        return False
    root = parse_address(job.audit.log)
    return _are_same(log, root) or _are_same(log, folder_of(root, name))


def _are_same(one: Address, other: Address) -> bool:
    return relation(one, other) is Relation.SAME


def _seed_key() -> str | None:
    """AUDIT_HASH_SALT_SSM is a parameter's name or an address of it."""
    name = os.environ.get("AUDIT_HASH_SALT_SSM")
    return f"aws-ssm:{name}" if name and not name.startswith(("aws-ssm:", "arn:")) else name


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
    if quiet:
        return
    if verdict.is_intact:
        click.echo(f"{printable(verdict.address)}: intact, {verdict.entries} entries")
        if not verdict.is_anchored:
            click.echo("note: without an anchor it cannot be seen whether the last entries were cut off", err=True)
    else:
        where = printable(verdict.address)
        click.echo(f"{where}: broken, {verdict.entries} entries, {len(verdict.problems)} problems")


def _document(verdict: Verdict) -> dict[str, Any]:
    last = verdict.last
    return {
        "job": verdict.chain,
        "address": verdict.address,
        "intact": verdict.is_intact,
        "anchored": verdict.is_anchored,
        "entries": verdict.entries,
        "last": {"sequence": last.sequence, "hash": last.hash, "time": last.time.isoformat()} if last else None,
        "keys": verdict.keys,
        "problems": [asdict(problem) for problem in verdict.problems],
    }

"""``keepstep audit``: verifies the audit log of rotations."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

import click

from keepstep.audit.keys import Keyring
from keepstep.audit.log import folder_of
from keepstep.audit.verify import Verification, chains_in, verify
from keepstep.cli.options import Group, config_file, merge_globals
from keepstep.cli.running import run
from keepstep.config import Config, load
from keepstep.errors import ConfigError, Error, ExitCode
from keepstep.jobs.assembly import Assembly
from keepstep.jobs.audit import Places, key_of, places_of
from keepstep.jobs.environment import ROTATION, audit_key_of, audit_of
from keepstep.jobs.option_parsing import global_options
from keepstep.jobs.resolve import resolved_jobs
from keepstep.jobs.rotate import ResolvedRotation
from keepstep.jobs.settings import CloudSettings, settings_of
from keepstep.stores.address import Address
from keepstep.stores.address import parse as parse_address
from keepstep.stores.interface import Store
from keepstep.stores.places import Relation, relation
from keepstep.text import printable
from keepstep.vaults.address import SecretAddress

_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(cls=Group, context_settings=_HELP)
def command() -> None:
    """Verify the audit log of rotations."""


@command.command("verify", context_settings=_HELP)
@click.argument("address", metavar="ADDRESS")
@click.option(
    "--key",
    metavar="SECRET",
    help="Secret that signs the entries [default: from keepstep.toml or AUDIT_HASH_SALT_SSM].",
)
@click.option(
    "--anchor", metavar="ADDRESS", help="Second place that holds the entries' hashes [default: from keepstep.toml]."
)
@global_options
@click.pass_context
def verify_command(ctx: click.Context, /, **options: Any) -> None:
    """Verify every entry at ADDRESS: s3://audit/rotations/, or one job's folder in it.

    Exits with 0 if all entries are as they were written. Exits with 1 if an entry was edited, deleted, moved,
    inserted or signed with a foreign key, and names it. Exits with 2 if the existing entries are valid but the end
    may be missing: the key has changed since the last entry and no anchor holds it, or the last anchor is missing.
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


def _code_of(verdicts: list[Verification]) -> ExitCode:
    if any(verdict.problems for verdict in verdicts):
        return ExitCode.FAILED
    return ExitCode.DONE if all(verdict.is_certain for verdict in verdicts) else ExitCode.SKIPPED


@dataclass(frozen=True, kw_only=True)
class _Means:
    """The key, anchor and identities to verify one log with."""

    key: SecretAddress
    anchor: Address | None
    """The folder above that of the log."""
    settings: CloudSettings


@dataclass(frozen=True, kw_only=True)
class _Task:
    log: Address
    means: _Means
    """For logs that no job writes."""
    own: dict[str, _Means]
    """For logs that jobs write there, by chain."""
    is_root: bool
    """Whether the address is above the folders of those jobs."""


def _task(config: Config, address: str, key: str | None, anchor: str | None) -> _Task:
    """The command line, completed by the jobs that write to the address. Raises :class:`ConfigError`."""
    log = parse_address(address)
    given_key = key_of(key) if key else None
    given_anchor = parse_address(anchor) if anchor else None
    found = [(places, settings) for places, settings in _configured(config) if _writes_to(places, log)]
    own = {
        places.chain: _Means(
            key=given_key or places.key, anchor=given_anchor or places.anchor_root, settings=settings
        )
        for places, settings in found
    }
    means = next(iter(own.values()), None)
    if means is None:
        secret = given_key or audit_key_of(os.environ)
        if not secret:
            raise ConfigError("the key of the audit log is unknown", hint="--key aws-ssm:NAME, or an ARN or OCID")
        means = _Means(key=secret, anchor=given_anchor, settings=settings_of(config.identity))
    is_root = any(_are_same(places.root, log) for places, _ in found)
    return _Task(log=log, means=means, own=own, is_root=is_root)


def _configured(config: Config) -> Iterator[tuple[Places, CloudSettings]]:
    """The logs of all jobs, and of a rotation from variables."""
    for job in resolved_jobs(config):
        if isinstance(job, ResolvedRotation) and job.audit:
            yield job.audit, job.settings
    if ROTATION not in config.job and (found := audit_of(os.environ)):
        yield places_of(ROTATION, found), settings_of(config.identity)


def _writes_to(places: Places, log: Address) -> bool:
    return _are_same(log, places.root) or _are_same(log, places.log)


def _are_same(one: Address, other: Address) -> bool:
    return relation(one, other) is Relation.SAME


async def _verify(task: _Task) -> list[Verification]:
    async with AsyncExitStack() as stack:
        parts = _Parts(stack)
        folders = await _logs(task, parts)
        verdicts = []
        for chain, folder in folders:
            means = task.own.get(chain, task.means)
            anchor = parts.store(means, folder_of(means.anchor, chain)) if means.anchor else None
            verdicts.append(await verify(chain, parts.store(means, folder), parts.keyring(means), anchor))
        return verdicts


async def _logs(task: _Task, parts: _Parts) -> list[tuple[str, Address]]:
    """Each log at the address, by chain: those that exist, and those that should."""
    if task.own and not task.is_root:
        return [(chain, task.log) for chain in task.own]
    chains = await chains_in(parts.store(task.means, task.log)) | task.own.keys()
    if "" not in chains:
        for means in {each.anchor: each for each in (task.means, *task.own.values())}.values():
            chains |= await chains_in(parts.store(means, means.anchor)) if means.anchor else set()
    if not chains and not task.own:
        raise Error(
            f"there is no audit log at {task.log}", hint="name the folder that audit.log or AUDIT_LOG names"
        )
    return _folders(task.log, chains)


class _Parts:
    """Opens stores and vaults, each identity once; they are closed with the stack."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._assemblies: dict[CloudSettings, Assembly] = {}
        self._keyrings: dict[tuple[CloudSettings, SecretAddress], Keyring] = {}

    def _assembly(self, means: _Means) -> Assembly:
        return self._assemblies.setdefault(means.settings, Assembly(means.settings))

    def store(self, means: _Means, address: Address) -> Store:
        store = self._assembly(means).source(address)
        self._stack.push_async_callback(store.close)
        return store

    def keyring(self, means: _Means) -> Keyring:
        """One keyring per key, which caches the versions that it has read."""
        if (means.settings, means.key) not in self._keyrings:
            vault = self._assembly(means).vaults([means.key.vault])[means.key.vault]
            self._stack.push_async_callback(vault.close)
            self._keyrings[means.settings, means.key] = Keyring(vault, means.key)
        return self._keyrings[means.settings, means.key]


def _folders(log: Address, chains: set[str]) -> list[tuple[str, Address]]:
    """Each chain with its folder; an address that has entries itself, or nothing at all, is one chain."""
    if not chains or "" in chains:
        return [(os.path.basename(str(log).rstrip("/")), log)]
    return [(chain, folder_of(log, chain)) for chain in sorted(chains)]


def _say(verdict: Verification, *, quiet: bool) -> None:
    for problem in verdict.problems:
        click.echo(printable(f"{verdict.address}: {problem.text}"))
    if not quiet:
        click.echo(printable(f"{verdict.address}: {verdict.words}"))
        for note in verdict.notes:
            click.echo(printable(f"note: {note}"), err=True)


def _document(verdict: Verification) -> dict[str, Any]:
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

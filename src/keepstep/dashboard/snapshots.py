"""Snapshots of what runs do not report: drift of secrets, stages of credentials, the audit chain.

A job is checked in the background if the page is viewed and the last snapshot is old, so an unused page costs
nothing. Contents of credentials are never read. Errors are shown in place of a result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keepstep.audit.keys import Keyring
from keepstep.audit.verify import Verification, verify
from keepstep.clock import Clock
from keepstep.config import Config
from keepstep.errors import Error
from keepstep.jobs.assembly import Assembly
from keepstep.jobs.audit import Places
from keepstep.jobs.resolve import resolve
from keepstep.jobs.rotate import ResolvedRotation
from keepstep.jobs.secrets import ResolvedSecrets
from keepstep.secrets.drift import Drift, FileState, Fingerprints
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.interface import Stage

FRESH = timedelta(minutes=10)
"""Maximum age of a snapshot."""
_LONGEST = 120.0
"""Seconds for one snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultVersion:
    """One version at a stage in one vault."""

    vault: str
    secret: str
    stage: Stage
    version: str
    created: datetime | None


@dataclass(slots=True)
class Snapshot:
    """The last snapshot of one job."""

    kind: str
    """The kind of the job."""
    at: datetime | None = None
    error: str = ""
    drift: list[FileState] = field(default_factory=list)
    held: list[VaultVersion] = field(default_factory=list)
    due: datetime | None = None
    """When the credential is due for rotation."""
    audit: Verification | None = None
    audit_error: str = ""

    @property
    def is_broken(self) -> bool:
        """Whether the audit log is broken, which must be visible however the last run went."""
        return bool(self.audit and self.audit.problems)


class SnapshotCache:
    """The last snapshot of each job. For one event loop."""

    def __init__(self, config: Callable[[], Config], clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._known: dict[str, Snapshot] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def of(self, name: str) -> Snapshot | None:
        """The last snapshot, which may be empty; an old one is refreshed in the background."""
        config = self._config()
        job = resolve(config, name) if name in config.job else None
        if not isinstance(job, ResolvedSecrets | ResolvedRotation):
            return None
        look = self._known.setdefault(name, Snapshot(job.kind))
        is_old = look.at is None or self._clock.now() - look.at > FRESH
        if is_old and name not in self._under_way:
            self._under_way[name] = asyncio.create_task(self._look(job))
        return look

    @property
    def mark(self) -> str:
        """Changes with every snapshot."""
        return repr([(name, look.at) for name, look in self._known.items()])

    async def _look(self, job: ResolvedSecrets | ResolvedRotation) -> None:
        look = Snapshot(job.kind)
        try:
            async with asyncio.timeout(_LONGEST), AsyncExitStack() as stack:
                if isinstance(job, ResolvedSecrets):
                    look.drift = await _drift(job, stack)
                else:
                    await _credential(job, stack, look)
        except Error as error:
            look.error = error.message
        except TimeoutError:
            look.error = f"no response within {_LONGEST:.0f} s"
        except ModuleNotFoundError as error:
            look.error = f"this needs the library {error.name}"
        finally:
            look.at = self._clock.now()
            self._known[job.name] = look
            self._under_way.pop(job.name, None)


async def _drift(job: ResolvedSecrets, stack: AsyncExitStack) -> list[FileState]:
    plan = await asyncio.to_thread(lambda: job.plan)
    return await Drift(plan, job.vaults(stack), Fingerprints(), job.ages(is_kept=False)).files()


async def _credential(job: ResolvedRotation, stack: AsyncExitStack, look: Snapshot) -> None:
    assembly = Assembly(job.settings)
    for address in (job.aws_secret, job.oci_secret):
        look.held += await _held(assembly, address, stack)
    ours = [held for held in look.held if held.vault == "aws-sm" and held.stage is Stage.CURRENT]
    made = ours[0].created if ours else None
    look.due = made + job.job.interval if made else None
    if places := job.audit:
        vault = assembly.vaults([places.key.vault])[places.key.vault]
        stack.push_async_callback(vault.close)
        await _audit(places, assembly, Keyring(vault, places.key), stack, look)


async def _held(assembly: Assembly, address: SecretAddress, stack: AsyncExitStack) -> list[VaultVersion]:
    """The stages of one vault, without contents."""
    vault = assembly.vaults([address.vault])[address.vault]
    stack.push_async_callback(vault.close)
    return [
        VaultVersion(
            vault=address.vault, secret=address.name, stage=stage, version=version.id, created=version.created
        )
        for version in await vault.versions(address.name)
        for stage in sorted(version.stages)
    ]


async def _audit(
    places: Places, assembly: Assembly, keyring: Keyring, stack: AsyncExitStack, look: Snapshot
) -> None:
    log = assembly.source(places.log)
    stack.push_async_callback(log.close)
    anchor = assembly.source(places.anchor) if places.anchor else None
    if anchor:
        stack.push_async_callback(anchor.close)
    try:
        look.audit = await verify(places.chain, log, keyring, anchor)
    except Error as error:
        look.audit_error = error.message

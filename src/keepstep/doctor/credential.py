"""Checks what a rotation needs of its two secrets and its databases.

Writes nothing but the record of a failed login, so that no account is locked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from keepstep.audit.verify import chains_in
from keepstep.config import Config
from keepstep.doctor.buckets import bucket_of
from keepstep.doctor.check import Check, fail, ok, warn
from keepstep.doctor.context import ProbeContext
from keepstep.doctor.databases import can_be_changed, logs_in
from keepstep.doctor.objects import write
from keepstep.doctor.policy import Grant, simulated
from keepstep.doctor.probe import Probe
from keepstep.doctor.quotas import forecast
from keepstep.errors import ConfigError, Conflict, Refused
from keepstep.jobs.assembly import Assembly
from keepstep.jobs.audit import Places
from keepstep.jobs.resolve import resolved_jobs
from keepstep.jobs.rotate import ResolvedRotation
from keepstep.rotation.credential import partner
from keepstep.rotation.failures import Weight
from keepstep.rotation.lockout_guard import LockoutGuard
from keepstep.rotation.notes import Notes
from keepstep.rotation.pace import room_of
from keepstep.rotation.rows import StagedCredential
from keepstep.rotation.stores import Stores
from keepstep.rotation.wiring import Rotation
from keepstep.stores.options import TransferOptions
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.interface import Stage
from keepstep.vaults.staging import SecretState

_NOBODY = "keepstep-doctor"
"""An ETag that no secret has."""


class Credential:
    """One rotate job, assembled as for a run, once for all probes."""

    def __init__(self, context: ProbeContext, job: ResolvedRotation) -> None:
        self._context = context
        self._job = job
        self.job = job.job
        self._parts = job.parts(context.stack, lambda text: None, context.assembly(job.settings))
        self._stores: Stores | None = None
        self._wired: asyncio.Task[Rotation] | None = None

    def probes(self) -> Iterator[Probe]:
        job = self.job
        yield Probe("second-rotator", job.aws_secret or "", lambda: self._writable(is_aws=True))
        yield Probe("second-rotator", job.oci_secret or "", lambda: self._writable(is_aws=False))
        yield Probe("second-rotator", "keepstep.toml", self._alone)
        yield Probe("stage", job.oci_secret or "", self._stage)
        yield Probe("policy", job.aws_secret or "", self._policy, is_needed=False)
        yield Probe("credential", self._job.name, self._same_user)
        yield Probe("quota", job.oci_secret or "", self._quota)
        yield Probe("database", self._job.name, self._logins)
        yield Probe("change", self._job.name, self._changes)
        if audit := job.audit:
            yield Probe("audit", audit.log, self._audit)

    async def _rotation(self) -> Rotation:
        if self._wired is None:
            job = self.job.model_copy(update={"audit": None})
            self._wired = asyncio.ensure_future(self._parts.rotation(self._job.name, job))
        return await asyncio.shield(self._wired)

    @property
    def stores(self) -> Stores:
        """The secrets can be checked even if the databases cannot be assembled."""
        self._stores = self._stores or self._parts.stores(self.job)
        return self._stores

    async def _describe(self, *, is_aws: bool) -> SecretState:
        stores = self.stores
        return await (stores.describe_again() if is_aws else stores.describe_secondary())

    async def _writable(self, *, is_aws: bool) -> list[Check]:
        about = (self.job.aws_secret if is_aws else self.job.oci_secret) or ""
        try:
            await self._describe(is_aws=is_aws)
        except Refused as error:
            name = "second-rotator" if "itself" in error.message else "writable"
            return [fail(name, about, error.message, error.hint)]
        who = "Secrets Manager" if is_aws else "OCI Vault"
        return [
            ok("second-rotator", about, f"{who} does not rotate it"),
            ok("writable", about, "can be written to: not pending deletion, no replica"),
        ]

    async def _alone(self) -> Check:
        others = rivals(self._context.config, self._job)
        if others:
            text = f"{', '.join(others)} rotates the same secrets"
            return fail("second-rotator", "keepstep.toml", text, "remove one of the jobs")
        return ok("second-rotator", "keepstep.toml", "no other job rotates these secrets")

    async def _stage(self) -> Check:
        """Makes the current version current again, on the condition of a wrong ETag: it cannot have any effect."""
        state = await self._describe(is_aws=False)
        stores = self.stores
        try:
            await stores.secondary.promote(replace(state, etag=_NOBODY), state.stages[Stage.CURRENT])
        except Conflict:
            return ok("stage", state.name, "would accept a change (it refused only the wrong ETag)")
        fix = "keepstep doctor --probe-fencing OCID of a scratch secret; do not rotate until that passes"
        return fail("stage", state.name, "accepted a change with a wrong ETag", fix)

    async def _policy(self) -> Check:
        state = await self._describe(is_aws=True)
        actions = ("secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage")
        aws = self._context.assembly(self._job.settings).aws
        return await simulated("policy", state.name, aws, [Grant(action, state.id) for action in actions])

    async def _same_user(self) -> Check:
        stores = self.stores
        theirs = await self._describe(is_aws=False)
        ours = await self._describe(is_aws=True)
        a = (await stores.primary_content(ours.stages[Stage.CURRENT])).payload.credential
        o = (await stores.secondary_content(theirs.stages[Stage.CURRENT])).payload.credential
        about = self._job.name
        if o.username not in (a.username, partner(a.username)):
            text = f"AWS has the user {a.username}, OCI has {o.username}"
            return fail("credential", about, text, "correct the wrong secret: both must name the same user")
        expected = self.job.username
        if expected and expected not in (a.username, partner(a.username)):
            return fail(
                "credential", about, f"the secrets name {a.username}, the job names {expected}", "check username"
            )
        state = "pending" if Stage.PENDING in ours.stages else "no rotation is in progress"
        return ok("credential", about, f"{a.username}, generation {a.gen} on AWS and {o.gen} on OCI; {state}")

    async def _quota(self) -> Check:
        state = await self._describe(is_aws=False)
        versions = await self.stores.secondary.versions(state.name)
        deletions = [version.deletion for version in state.versions if version.deletion]
        made = [version.created for version in versions if version.created]
        now = self._context.clock.now()
        found = forecast(len(state.versions) - len(deletions), deletions, self.job.interval, made, now)
        room = room_of(state)
        interval = f"{self._job.calls('interval')} = " + ("60" if self._job.variables else '"1h"')
        fix = f"no action needed: rotations are paced to fit the quota; {interval} or more avoids it"
        if not room.has_room and room.prunable is None:
            again = f"; a version is available again on {room.next:%Y-%m-%d %H:%M} UTC" if room.next else ""
            return warn("quota", state.name, found.text + again, fix)
        if found.ends:
            return warn("quota", state.name, found.text, fix)
        return ok("quota", state.name, found.text)

    async def _guarded(self) -> tuple[Rotation, LockoutGuard, StagedCredential]:
        """Shares the record of failed logins with rotations: a login that fails here counts there too."""
        rotation = await self._rotation()
        state = await self._describe(is_aws=True)
        version = state.stages[Stage.CURRENT]
        held = StagedCredential(version, (await self.stores.primary_content(version)).payload.credential)
        notes = Notes(self.stores)
        guard = LockoutGuard(rotation.members, self._context.clock, notes.write)
        guard.remember(notes.read(state))
        return rotation, guard, held

    async def _logins(self) -> list[Check]:
        rotation, guard, held = await self._guarded()
        checks = []
        for number, base in enumerate(rotation.members):
            probe = await guard.ask(number, held, weight=Weight.HEAVY)
            checks.append(logs_in(base, probe, held.credential, self._job.name))
        return checks

    async def _changes(self) -> list[Check]:
        rotation, guard, held = await self._guarded()
        checks = []
        for number, base in enumerate(rotation.members):
            opened = guard.session(number, None if base.admin else held)
            checks += await can_be_changed(base, held.credential, opened)
        return checks

    async def _audit(self) -> Check:
        places = self._job.audit
        assert places, "only jobs with an audit log need it"
        assembly = self._context.assembly(self._job.settings)
        if stranger := await self._other_log(places, assembly):
            return stranger
        bucket = bucket_of(assembly, places.log, TransferOptions(), is_target=True)
        try:
            await bucket.first()
            return await write(bucket, "audit", places.log)
        finally:
            await bucket.close()

    async def _other_log(self, places: Places, assembly: Assembly) -> Check | None:
        """Finds logs that this job does not continue next to its own, empty one."""
        store = assembly.source(places.root)
        try:
            chains = await chains_in(store)
        finally:
            await store.close()
        jobs = [job for job in resolved_jobs(self._context.config) if isinstance(job, ResolvedRotation)]
        others = sorted(chains - {job.audit.chain for job in jobs if job.audit} - {""})
        if places.chain in chains or not others:
            return None
        text = f"{places.log} is empty, and {', '.join(others)} is next to it: the job starts a new log"
        return warn(
            "audit", str(places.log), text, f'to continue the old one: audit =  {{ …, name = "{others[0]}" }}'
        )


def rivals(config: Config, job: ResolvedRotation) -> list[str]:
    """Other jobs that use one of the secrets, even under another name for it."""
    ours = _credential(job)
    return [
        other.name
        for other in resolved_jobs(config)
        if other.name != job.name
        and isinstance(other, ResolvedRotation)
        and any(one.is_same(another) for one in ours for another in _credential(other))
    ]


def _credential(job: ResolvedRotation) -> list[SecretAddress]:
    """The two secrets, as far as they are named; an invalid one is a separate finding."""
    found = []
    for each in ("aws_secret", "oci_secret"):
        with suppress(ConfigError):
            found.append(getattr(job, each))
    return found

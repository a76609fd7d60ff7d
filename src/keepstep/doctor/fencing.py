"""Proves on a scratch secret that the vaults refuse a second writer: the only check that writes, and only there.

The rotation protocol relies on these refusals. OCI refuses a change with an old ETag, even if only a new version
was added since, and a version name that is taken. Secrets Manager refuses other content under an existing version
id, and moving a label from a version that does not have it. The probe also measures how soon a new version is
visible.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Awaitable, Iterable, Iterator
from functools import partial

from keepstep.doctor.check import Check, fail, ok
from keepstep.doctor.context import ProbeContext
from keepstep.doctor.probe import Probe
from keepstep.errors import Conflict, NotFound, Refused
from keepstep.jobs.resolved import ResolvedJob
from keepstep.jobs.settings import CloudSettings, secret_setting
from keepstep.secret import Secret
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.aws_staging import SecretsManagerStages
from keepstep.vaults.interface import Stage, VersionId
from keepstep.vaults.oci_staging import OciVaultStages
from keepstep.vaults.staging import SecretState

_STOP = "do not rotate with this vault: two workers could undo each other"


def probes(
    context: ProbeContext, settings: CloudSettings, scratch: Iterable[str], jobs: list[ResolvedJob]
) -> Iterator[Probe]:
    """Raises :class:`Refused` for a secret that a job uses, and :class:`ConfigError` for anything but a secret."""
    used = [address for job in jobs for address in job.secrets()]
    for text in scratch:
        address = secret_setting(text, called="--probe-fencing")
        if any(address.is_same(each) for each in used):
            raise Refused(f"{text} is in use by a job", hint="create a separate secret for this probe")
        if address.vault == "aws-ssm":
            raise Refused(f"{text} is a parameter: rotations keep credentials in secrets", hint="name a secret")
        yield Probe("fencing", text, partial(_probe, context, settings, address))


async def _probe(context: ProbeContext, settings: CloudSettings, address: SecretAddress) -> list[Check]:
    assembly = context.assembly(settings)
    if address.vault == "oci-vault":
        oci = OciVaultStages(assembly.oci)
        context.stack.push_async_callback(oci.close)
        return await _oci(oci, address.name)
    aws = SecretsManagerStages(assembly.aws)
    context.stack.push_async_callback(aws.close)
    return await _aws(aws, address.name)


async def _oci(vault: OciVaultStages, name: str) -> list[Check]:
    before = await vault.describe(name)
    version = f"keepstep-doctor-{secrets.token_hex(4)}"
    await vault.stage(before, version, _content())
    began = time.monotonic()
    after = await vault.describe(name)
    lag = await _until_seen(vault, name, after, began)
    return [
        await _refused(
            name,
            "a change with an ETag from before a version was added",
            vault.stage(before, f"{version}-2", _content()),
        ),
        await _refused(name, "a version name that is taken", vault.stage(after, version, _content())),
        ok("fencing", name, f"a new version could be read after {lag * 1000:.0f} ms"),
    ]


async def _until_seen(vault: OciVaultStages, name: str, state: SecretState, began: float) -> float:
    """Seconds until the retrieval plane returned the version that the management plane accepted."""
    newest: VersionId = state.stages[Stage.PENDING]
    while True:
        try:
            await vault.get(name, newest)
        except NotFound:
            continue
        return time.monotonic() - began


async def _aws(vault: SecretsManagerStages, name: str) -> list[Check]:
    version, label = str(uuid.uuid4()), "KEEPSTEP_DOCTOR"
    await vault.put(name, version, _content(), label)
    began = time.monotonic()
    while version not in (state := await vault.describe(name)).labels.values():
        pass
    lag = time.monotonic() - began
    elsewhere = state.stages[Stage.CURRENT]
    try:
        return [
            await _refused(
                name, "other content under an existing version id", vault.put(name, version, _content(), label)
            ),
            await _refused(
                name,
                "moving a label from a version that does not have it",
                vault.move(name, label, to=None, away_from=elsewhere),
            ),
            ok("fencing", name, f"a new version was visible after {lag * 1000:.0f} ms"),
        ]
    finally:
        await vault.move(name, label, to=None, away_from=VersionId(version))


async def _refused(name: str, what: str, write: Awaitable[object]) -> Check:
    try:
        await write
    except Conflict:
        return ok("fencing", name, f"refuses {what}")
    return fail("fencing", name, f"does not refuse {what}", _STOP)


def _content() -> Secret:
    return Secret(f'{{"made by": "keepstep doctor --probe-fencing", "nonce": "{secrets.token_hex(8)}"}}')

"""Every secret that a job names: it can be read, decrypted, and has the field that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from keepstep.config import RotateJob, SecretsJob
from keepstep.doctor import kms
from keepstep.doctor.check import Check, fail, ok
from keepstep.doctor.context import JobUnderTest, ProbeContext
from keepstep.doctor.probe import Probe
from keepstep.errors import ConfigError
from keepstep.vaults.address import SecretAddress, parse
from keepstep.vaults.fields import field_of


def probes(practice: ProbeContext, patient: JobUnderTest) -> Iterator[Probe]:
    for address in dict.fromkeys(addresses(patient)):
        yield Probe("secret", str(address), partial(_read, practice, patient, address))
        if address.vault == "aws-sm":
            aws = practice.assembly(patient.settings).aws
            yield Probe(
                "kms",
                str(address),
                partial(kms.of_secret, aws, address.name),
                is_needed=False,
            )


def addresses(patient: JobUnderTest) -> Iterator[SecretAddress]:
    """Those that the job names, in its order. What makes no sense is passed over: other checks name it."""
    job = patient.job
    if isinstance(job, SecretsJob) and patient.plan:
        for target in patient.plan.targets:
            for delivery in target.deliveries:
                yield from delivery.content.sources
        if job.fingerprint_key:
            yield parse(job.fingerprint_key)
    if isinstance(job, RotateJob):
        yield from _of_rotation(job)


def _of_rotation(job: RotateJob) -> Iterator[SecretAddress]:
    named: list[tuple[str | None, str]] = [(job.aws_secret, "aws-sm"), (job.oci_secret, "oci-vault")]
    if job.connection_blob:
        named += [(job.connection_blob.aws, "aws-sm"), (job.connection_blob.oci, "oci-vault")]
    named += [(member.admin, "aws-sm") for member in job.database]
    if job.audit:
        named.append((job.audit.key, "aws-ssm"))
    for text, vault in named:
        if text and (address := secret_of(text, vault)):
            yield address


def secret_of(text: str, vault: str) -> SecretAddress | None:
    """A bare name is one of ``vault``'s, as rotations read it; None when it is no address at all."""
    try:
        return parse(text, bare=vault)
    except ConfigError:
        return None


async def _read(practice: ProbeContext, patient: JobUnderTest, address: SecretAddress) -> Check:
    value = await practice.vault(patient.settings, address.vault).get(address.name)
    field_of(value.content.reveal_bytes(), address)
    version = value.version
    if version.expires and version.expires <= practice.clock.now():
        text = f"version {version.id} expired on {version.expires:%Y-%m-%d}"
        return fail("secret", str(address), text, "put a new version into the vault; see the secret's expiry rule")
    made = f", of {version.created:%Y-%m-%d %H:%M} UTC" if version.created else ""
    return ok("secret", str(address), f"can be read: version {version.id}{made}")

"""Checks every secret of a job: it can be read and decrypted, and has the configured field."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from keepstep.doctor import kms
from keepstep.doctor.check import Check, fail, ok
from keepstep.doctor.context import ProbeContext
from keepstep.doctor.probe import Probe
from keepstep.jobs.resolved import ResolvedJob
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.fields import field_of


def probes(context: ProbeContext, job: ResolvedJob) -> Iterator[Probe]:
    for address in dict.fromkeys(job.secrets()):
        yield Probe("secret", str(address), partial(_read, context, job, address))
        if address.vault == "aws-sm":
            aws = context.assembly(job.settings).aws
            yield Probe(
                "kms",
                str(address),
                partial(kms.of_secret, aws, address.name),
                is_needed=False,
            )


async def _read(context: ProbeContext, job: ResolvedJob, address: SecretAddress) -> Check:
    value = await context.vault(job.settings, address.vault).get(address.name)
    field_of(value.content.reveal_bytes(), address)
    version = value.version
    if version.expires and version.expires <= context.clock.now():
        text = f"version {version.id} expired on {version.expires:%Y-%m-%d}"
        return fail("secret", str(address), text, "add a new version to the vault; check the secret's expiry rule")
    made = f", of {version.created:%Y-%m-%d %H:%M} UTC" if version.created else ""
    return ok("secret", str(address), f"can be read: version {version.id}{made}")

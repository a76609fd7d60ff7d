"""Every question about some jobs, put together: each identity, clock and state once, the rest for each job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from keepstep.clock import Clock, SystemClock
from keepstep.config import Config, RotateJob, SyncJob
from keepstep.doctor import (
    alerts,
    certificates,
    clocks,
    containers,
    exposure,
    fencing,
    files,
    identity,
    kms,
    objects,
    reboot,
    state,
    vaults,
)
from keepstep.doctor.check import Check, of_error
from keepstep.doctor.context import JobUnderTest, ProbeContext
from keepstep.doctor.credential import Credential
from keepstep.doctor.probe import DEADLINE, Probe, examine
from keepstep.errors import Error
from keepstep.jobs.assembly import CloudSettings
from keepstep.stores.address import parse

_CLOUDS = {"s3": "aws", "oci": "oci", "aws-sm": "aws", "aws-ssm": "aws", "oci-vault": "oci"}


async def examined(
    config: Config,
    patients: list[JobUnderTest],
    settings: CloudSettings,
    scratch: tuple[str, ...] = (),
    *,
    is_recorded: bool = True,
    clock: Clock | None = None,
    deadline: float = DEADLINE,
) -> list[Check]:
    """All checks of these jobs. ``is_recorded`` is False where nothing is kept of runs: no state, no alerts."""
    async with AsyncExitStack() as stack:
        practice = ProbeContext(stack, config, clock or SystemClock())
        probes = [*_shared(practice, patients)]
        probes += fencing.probes(practice, settings, scratch, patients)
        speaks_oci = {patient.settings for patient in patients if "oci" in _clouds_of(patient)}
        probes += exposure.probes(config, speaks_oci)
        if is_recorded:
            probes += [*state.probes_of_state(config), *alerts.probes(config)]
        checks: list[Check] = []
        for patient in patients:
            try:
                own = [*_of_job(practice, patient), *(state.probes(practice, patient) if is_recorded else ())]
            except Error as error:
                checks.append(replace(of_error("job", patient.name, error), job=patient.name))
                continue
            probes += (replace(probe, job=patient.name) for probe in own)
        return [*checks, *await examine(probes, deadline)]


def _shared(practice: ProbeContext, patients: list[JobUnderTest]) -> Iterator[Probe]:
    """Who we are, for each set of identities that there is."""
    clouds: dict[CloudSettings, set[str]] = {}
    for patient in patients:
        clouds.setdefault(patient.settings, set()).update(_clouds_of(patient))
    for settings, wanted in clouds.items():
        assembly = practice.assembly(settings)
        if "aws" in wanted:
            aws = assembly.aws
            yield Probe("aws-identity", "AWS", partial(identity.on_aws, practice, aws))
            yield Probe("aws-clock", "AWS", partial(clocks.aws_clock, aws, practice.clock))
        if "oci" in wanted:
            oci = assembly.oci
            yield Probe("oci-identity", "OCI", partial(identity.on_oci, oci))
            yield Probe("oci-clock", "OCI", partial(clocks.oci_clock, oci, practice.clock))


def _clouds_of(patient: JobUnderTest) -> set[str]:
    job = patient.job
    if isinstance(job, SyncJob):
        kinds = [parse(job.source).kind, parse(job.target).kind, *([patient.trash.kind] if patient.trash else [])]
        return {_CLOUDS[kind] for kind in kinds if kind in _CLOUDS}
    if isinstance(job, RotateJob):
        return {"aws", "oci"}
    return {_CLOUDS[address.vault] for address in vaults.addresses(patient)}


def _of_job(practice: ProbeContext, patient: JobUnderTest) -> Iterator[Probe]:
    job = patient.job
    if isinstance(job, SyncJob):
        yield from objects.probes(practice, patient)
        if key := patient.transfer.kms_key:
            aws = practice.assembly(patient.settings).aws
            if not key.startswith("ocid1."):
                yield Probe("kms", key, lambda: kms.of_key(aws, key, key, None), is_needed=False)
        return
    yield from vaults.probes(practice, patient)
    if isinstance(job, RotateJob):
        yield from Credential(practice, patient).probes()
        yield from certificates.probes(practice, patient)
        return
    yield from files.probes(patient)
    yield from containers.probes(patient)
    yield from reboot.probes(patient)

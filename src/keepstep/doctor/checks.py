"""Collects all probes of some jobs: each identity, clock and state once, the rest for each job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from keepstep.clock import Clock, SystemClock
from keepstep.config import Config
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
from keepstep.doctor.context import ProbeContext
from keepstep.doctor.credential import Credential
from keepstep.doctor.probe import DEADLINE, Probe, examine
from keepstep.errors import Error
from keepstep.jobs.resolved import ResolvedJob
from keepstep.jobs.rotate import ResolvedRotation
from keepstep.jobs.secrets import ResolvedSecrets
from keepstep.jobs.settings import CloudSettings
from keepstep.jobs.sync import ResolvedSync


async def examined(
    config: Config,
    jobs: list[ResolvedJob],
    settings: CloudSettings,
    scratch: tuple[str, ...] = (),
    *,
    is_recorded: bool = True,
    clock: Clock | None = None,
    deadline: float = DEADLINE,
) -> list[Check]:
    """Runs all checks of these jobs. ``is_recorded`` is False if runs are not recorded: no state, no alerts."""
    async with AsyncExitStack() as stack:
        context = ProbeContext(stack, config, clock or SystemClock())
        probes = [*_shared(context, jobs)]
        probes += fencing.probes(context, settings, scratch, jobs)
        speaks_oci = {job.settings for job in jobs if "oci" in job.clouds}
        probes += exposure.probes(config, speaks_oci)
        if is_recorded:
            probes += [*state.probes_of_state(config), *alerts.probes(config)]
        checks: list[Check] = []
        for job in jobs:
            try:
                own = [*_of_job(context, job), *(state.probes(context, job) if is_recorded else ())]
            except Error as error:
                checks.append(replace(of_error("job", job.name, error), job=job.name))
                continue
            probes += (replace(probe, job=job.name) for probe in own)
        return [*checks, *await examine(probes, deadline)]


def _shared(context: ProbeContext, jobs: list[ResolvedJob]) -> Iterator[Probe]:
    """Probes of each distinct set of identities."""
    clouds: dict[CloudSettings, set[str]] = {}
    for job in jobs:
        clouds.setdefault(job.settings, set()).update(job.clouds)
    for settings, wanted in clouds.items():
        assembly = context.assembly(settings)
        if "aws" in wanted:
            aws = assembly.aws
            yield Probe("aws-identity", "AWS", partial(identity.on_aws, context, aws))
            yield Probe("aws-clock", "AWS", partial(clocks.aws_clock, aws, context.clock))
        if "oci" in wanted:
            oci = assembly.oci
            yield Probe("oci-identity", "OCI", partial(identity.on_oci, oci))
            yield Probe("oci-clock", "OCI", partial(clocks.oci_clock, oci, context.clock))


def _of_job(context: ProbeContext, job: ResolvedJob) -> Iterator[Probe]:
    """Raises :class:`Error` for a job that is invalid as a whole."""
    if isinstance(job, ResolvedSync):
        job.check()
        yield from objects.probes(context, job)
        if key := job.transfer.kms_key:
            aws = context.assembly(job.settings).aws
            if not key.startswith("ocid1."):
                yield Probe("kms", key, lambda: kms.of_key(aws, key, key, None), is_needed=False)
        return
    yield from vaults.probes(context, job)
    if isinstance(job, ResolvedRotation):
        yield from Credential(context, job).probes()
        yield from certificates.probes(context, job)
    elif isinstance(job, ResolvedSecrets):
        _ = job.fingerprint_key  # which raises if it is not an address
        yield from files.probes(job)
        yield from containers.probes(job)
        yield from reboot.probes(job)

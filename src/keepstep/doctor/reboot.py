"""Checks that secrets come back after a reboot: files in memory are gone, so something must run then.

The units are those of ``deploy/systemd``, including the names of the replaced tools.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keepstep.containers.systemd import SystemdUnits
from keepstep.doctor.check import Check, fail, ok, unknown
from keepstep.doctor.probe import Probe
from keepstep.jobs.secrets import ResolvedSecrets

_RUNNING = Path("/run/systemd/system")
"""Exists if systemd is the init process (sd_booted(3))."""


class Units(SystemdUnits):
    """Queries systemctl; changes nothing."""

    async def is_enabled(self, unit: str) -> bool:
        return (await self._run("is-enabled", "--quiet", "--", unit))[0] == 0

    async def is_active(self, unit: str) -> bool:
        return (await self._run("is-active", "--quiet", "--", unit))[0] == 0


def probes(job: ResolvedSecrets) -> Iterator[Probe]:
    yield Probe("reboot", job.name, lambda: check(job.name, Units(), booted=_RUNNING.is_dir()), is_needed=False)


async def check(name: str, units: Units, *, booted: bool) -> Check:
    if not booted:
        return unknown(
            "reboot", name, "this host has no systemd: whatever starts its services must start keepstep too"
        )
    starters = ("oci-secretsync.timer", f"keepstep-secrets@{name}.timer", "keepstep.service")
    enabled = [unit for unit in starters if await units.is_enabled(unit)]
    if not enabled:
        fix = f"systemctl enable --now {starters[0]} (or {', '.join(starters[1:])}), and run-secrets.mount"
        return fail(
            "reboot",
            name,
            f"none of {', '.join(starters)} is enabled: nothing restores secrets after a reboot",
            fix,
        )
    if not await units.is_active(enabled[0]):
        return fail("reboot", name, f"{enabled[0]} is enabled but not active", f"systemctl start {enabled[0]}")
    return ok("reboot", name, f"{enabled[0]} restores them")

"""Checks what is signalled when secrets change: the engine, the containers, and their signal handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from keepstep.containers.docker import ContainerEngines, comes_back_only_unsignalled, has_own_processes
from keepstep.containers.interface import RELOAD, RESTART, Kind, Notice
from keepstep.containers.signals import signal_number
from keepstep.containers.systemd import SystemdUnits
from keepstep.doctor.check import Check, fail, of_error, ok, unknown
from keepstep.doctor.probe import Probe, blocking
from keepstep.errors import Error
from keepstep.jobs.secrets import ResolvedSecrets
from keepstep.secrets.delivery import Target

_BLANK = "leave container and signal empty and restart it at a convenient time, or use restart as the signal"
_CONTAINERS = (Kind.CONTAINER, Kind.LABEL)


class _Units(SystemdUnits):
    """Queries systemctl; changes nothing."""

    async def state(self, unit: str) -> str:
        return (await self._run("is-active", "--", unit))[1] or "not active"


class Engines(ContainerEngines):
    """Inspects containers; sends no signal."""

    async def away(self) -> Error | None:
        """Why an engine cannot be queried; None if all can."""
        nobody = Notice(Kind.LABEL, "keepstep.doctor=nobody", RESTART)
        return (await asyncio.to_thread(self._running, nobody))[1]

    async def running(self, notice: Notice) -> list[Any]:
        return (await asyncio.to_thread(self._running, notice))[0]


def probes(job: ResolvedSecrets) -> Iterator[Probe]:
    told = _told(job.plan.targets)
    engines = Engines()
    if any(notice.kind in _CONTAINERS for notice in told):
        yield Probe("container-socket", "the container engine", lambda: _socket(engines))
    for notice, files in told.items():
        if notice.kind in _CONTAINERS:
            yield Probe("container", notice.whom, partial(_container, engines, notice, files))
        elif notice.kind is Kind.UNIT:
            yield Probe("container", notice.whom, partial(_unit, notice))
        else:
            yield Probe("container", notice.whom, blocking(_pid_file, notice))


def _told(targets: list[Target]) -> dict[Notice, list[str]]:
    """Each notice, with the files that it is about."""
    told: dict[Notice, list[str]] = {}
    for target in targets:
        for notice in target.notices:
            told.setdefault(notice, []).extend(delivery.path for delivery in target.deliveries)
    return told


async def _socket(engines: Engines) -> Check:
    if error := await engines.away():
        return of_error("container-socket", "the container engine", error)
    return ok("container-socket", "the container engine", "answers")


async def _container(engines: Engines, notice: Notice, files: list[str]) -> list[Check]:
    found = await engines.running(notice)
    if not found:
        fix = "the name must be one of those in: docker ps --format '{{.Names}}'"
        return [fail("container", notice.whom, f"no container {notice.whom} is running", fix)]
    checks = [ok("container", notice.whom, f"{len(found)} running")]
    for container in found:
        checks += _mounts(container, notice, files)
        if notice.what != RESTART:
            pid = int(container.attrs.get("State", {}).get("Pid") or 0)
            checks.append(listens(container.name, pid, notice.what))
            checks += _comes_back(container)
    return checks


def _mounts(container: Any, notice: Notice, files: list[str]) -> Iterator[Check]:
    mounted = {mount.get("Source") for mount in container.attrs.get("Mounts") or ()}
    for path in files:
        if path in mounted and notice.what != RESTART:
            text = f"the container {container.name} mounts this single file, and keeps seeing the old one"
            yield fail("bind-mount", path, text, "mount its folder instead, or use restart as the signal")


def _comes_back(container: Any) -> Iterator[Check]:
    if comes_back_only_unsignalled(container) and not has_own_processes(container):
        text = f"the container {container.name} has the restart policy unless-stopped: after a signal Docker"
        text += " treats it as stopped by hand, and it shares its PID namespace, so nothing inside can signal it"
        yield fail("reboot", container.name, text, "give it the restart policy always")
    elif comes_back_only_unsignalled(container):
        text = f"the container {container.name} comes back after a reboot if its image has sh and kill"
        yield unknown("reboot", container.name, text, "if it has not, give it the restart policy always")


def listens(name: str, pid: int, signal: str) -> Check:
    """Reads which signals its first process catches (proc(5), SigCgt): in a PID namespace it ignores the others."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines() if pid else []
    except OSError:
        lines = []
    caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), None)
    if caught is None:
        return unknown("signal", name, f"cannot tell whether it handles {signal}", f"if it does not, {_BLANK}")
    if caught >> (signal_number(signal) - 1) & 1:
        return ok("signal", name, f"its first process handles {signal}")
    return fail("signal", name, f"its first process does not handle {signal}: it will not see new values", _BLANK)


async def _unit(notice: Notice) -> Check:
    if (state := await _Units().state(notice.whom)) != "active":
        return fail("container", notice.whom, f"the unit is {state}", f"systemctl start {notice.whom}")
    return ok("container", notice.whom, "the unit is active")


def _pid_file(notice: Notice) -> Check:
    try:
        pid = int(Path(notice.whom).read_text())
    except (OSError, ValueError):
        return fail(
            "container",
            notice.whom,
            "there is no PID file",
            "start the process that writes it, or correct pid_file",
        )
    if not Path(f"/proc/{pid}").exists():
        return fail(
            "container", notice.whom, f"the process {pid} is gone", "start the process that writes the file"
        )
    if notice.what in (RESTART, RELOAD):
        return ok("container", notice.whom, f"the process {pid} runs")
    return listens(notice.whom, pid, notice.what)

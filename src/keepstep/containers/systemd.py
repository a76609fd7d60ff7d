"""systemd units, by ``systemctl`` (systemctl(1))."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from keepstep.containers.interface import RELOAD, RESTART, Notice
from keepstep.errors import Error, NotFound, Transient

_TIMEOUT = 90.0
"""Seconds: systemd's own for a job (DefaultTimeoutStartSec)."""


class SystemdUnits:
    """Reloads, restarts or signals units that are active; what is stopped stays stopped."""

    def __init__(self, systemctl: str = "systemctl") -> None:
        self._systemctl = systemctl

    async def notify(self, notice: Notice, files: Collection[str]) -> list[str]:
        code, _ = await self._run("is-active", "--quiet", notice.whom)
        if code:
            raise NotFound(f"the unit {notice.whom} is not active", hint=f"see: systemctl status {notice.whom}")
        code, said = await self._run(*_command(notice))
        if code:
            raise Transient(f"systemctl could not {notice.what} {notice.whom}: {said}")
        return []

    async def close(self) -> None:
        """Keeps nothing."""

    async def _run(self, *words: str) -> tuple[int, str]:
        pipe = asyncio.subprocess.PIPE
        command = (self._systemctl, "--no-ask-password", *words)
        try:
            process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        except FileNotFoundError as exc:
            raise NotFound(f"{self._systemctl} is not installed", hint="units are for hosts with systemd") from exc
        except OSError as exc:
            raise Error(f"cannot run {self._systemctl}: {exc.strerror}") from exc
        try:
            output, _ = await asyncio.wait_for(process.communicate(), _TIMEOUT)
        except TimeoutError as exc:
            process.kill()
            raise Transient(f"systemctl {words[0]} took longer than {_TIMEOUT:.0f} s") from exc
        return process.returncode or 0, output.decode("utf-8", "replace").strip()


def _command(notice: Notice) -> list[str]:
    if notice.what == RELOAD:
        return ["reload", "--", notice.whom]
    if notice.what == RESTART:
        return ["try-restart", "--", notice.whom]
    return ["kill", f"--signal={notice.what}", "--", notice.whom]

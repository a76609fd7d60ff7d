"""Processes that write their number into a file (daemon(7), "pid file")."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Collection
from pathlib import Path

from keepstep.containers.interface import Notice
from keepstep.containers.signals import signal_number
from keepstep.errors import Denied, Error, NotFound

_MOST = 32
"""Bytes; a process number has ten digits at most."""
_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_SLACK = 2.0
"""Seconds by which the clocks of files and processes may differ."""


class PidFiles:
    """Signals the process that a pid file names, if it is still the one that wrote it.

    Anybody who writes the file chooses which process root signals. So one that anybody can write is refused, and
    one that belongs to somebody else may name a process of theirs only.
    """

    async def notify(self, notice: Notice, files: Collection[str]) -> list[str]:
        await asyncio.to_thread(_tell, notice.whom, signal_number(notice.what))
        return []

    async def close(self) -> None:
        """Keeps nothing."""


def _tell(path: str, number: int) -> None:
    process, state = _read(path)
    try:
        handle = os.pidfd_open(process)
    except OSError as exc:
        raise NotFound(f"the process {process} of {path} is gone") from exc
    try:
        _check_process(path, process, state)
        signal.pidfd_send_signal(handle, number)
    except (ProcessLookupError, FileNotFoundError) as exc:
        raise NotFound(f"the process {process} of {path} is gone") from exc
    except PermissionError as exc:
        raise Denied(f"the process {process} of {path} may not be signalled", hint="run as root") from exc
    finally:
        os.close(handle)


def _read(path: str) -> tuple[int, os.stat_result]:
    """The process's number, and the state of the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise NotFound(
            f"there is no pid file {path}", hint="the process is not running, or writes another"
        ) from exc
    except OSError as exc:
        raise Error(f"cannot read the pid file {path}: {exc.strerror}") from exc
    try:
        state = os.fstat(descriptor)
        _check_file(path, state)
        text = os.read(descriptor, _MOST).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)
    if not text.isdecimal() or int(text) < 2:
        raise Error(f"{path} holds no number of a process")
    return int(text), state


def _check_file(path: str, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise Error(f"the pid file {path} is not a regular file")
    folder = os.stat(os.path.dirname(path) or ".")
    is_shared = folder.st_mode & _OTHERS and not folder.st_mode & stat.S_ISVTX
    if state.st_mode & _OTHERS or is_shared or folder.st_uid not in (0, os.geteuid(), state.st_uid):
        raise Denied(f"the pid file {path} is not trusted: others could have written it", hint="chmod go-w")


def _check_process(path: str, process: int, state: os.stat_result) -> None:
    if _started(process) > state.st_mtime + _SLACK:
        raise NotFound(f"the process {process} is not the one that wrote {path}: it began later")
    if state.st_uid not in (0, os.geteuid(), os.stat(f"/proc/{process}").st_uid):
        raise Denied(f"the pid file {path} names a process that its owner does not own")


def _started(process: int) -> float:
    """Seconds since 1970 (proc(5): ``btime`` of /proc/stat, field 22 of /proc/PID/stat)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    return int(boot.split()[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")

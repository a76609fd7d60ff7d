"""The recipients of notices that a file changed: containers, systemd units, processes with a pid file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """How a notice finds its recipient."""

    CONTAINER = "container"
    LABEL = "label"
    UNIT = "unit"
    PID_FILE = "pid_file"


RESTART = "restart"
RELOAD = "reload"
"""systemd units only: the unit knows how."""


@dataclass(frozen=True, slots=True, order=True)
class Notice:
    """What one recipient is sent. Two of the same content are one notice. Prints for people."""

    kind: Kind
    whom: str
    """A container's name; a label, ``key`` or ``key=value``; a unit; the path of a pid file."""
    what: str
    """A signal's full name (``SIGHUP``, ``SIGRTMIN+3``), :data:`RESTART` or :data:`RELOAD`."""

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {self.whom}: {self.what}"


class Recipient(Protocol):
    """Safe for many tasks of one event loop. A notice may be delivered twice, which is harmless."""

    async def notify(self, notice: Notice, files: Collection[str]) -> list[str]:
        """Delivers the notice; ``files`` are the paths that it is about. Returns remarks that people should read.

        Raises :class:`NotFound` when no recipient is running, :class:`Transient` when the engine is
        away, :class:`Denied` when access to it is refused; the notice is then still due.
        """
        ...

    async def close(self) -> None: ...

"""A credential with everything that its rotation takes: vaults, databases, audit log."""

from __future__ import annotations

from dataclasses import dataclass

from keepstep.rotation.audit_trail import AppendEntry
from keepstep.rotation.changes import Strategy
from keepstep.rotation.connections import Connections
from keepstep.rotation.member import DatabaseMember
from keepstep.rotation.pace import RotationPace
from keepstep.rotation.stores import Stores


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """Where a credential is kept, where it logs in, and how it is to be changed."""

    name: str
    stores: Stores
    members: tuple[DatabaseMember, ...]
    """The strictest engine first."""
    pace: RotationPace
    strategy: Strategy = Strategy.SINGLE
    username: str | None = None
    """Secrets of another user are refused; None: any user is accepted."""
    append: AppendEntry | None = None
    """The audit log, where there is one."""
    connections: Connections | None = None

    @property
    def alternates(self) -> bool:
        """Whether two users take turns."""
        return self.strategy is Strategy.ALTERNATING

    def member_name(self, number: int) -> str:
        return self.members[number].database.name

"""One database of a credential, and how it is changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from keepstep.databases.interface import Database, Login
from keepstep.errors import Error
from keepstep.rotation.changes import Strategy
from keepstep.rotation.rows import Member

Admin = Callable[[], Awaitable[Login]]


@dataclass(frozen=True, slots=True)
class Base:
    """One database, how it is changed, and by whom: without an administrator the credential changes itself."""

    database: Database
    strategy: Strategy
    admin: Admin | None = field(default=None, repr=False)

    @property
    def member(self) -> Member:
        return Member(self.database.name, self.admin is not None)

    async def administrator(self) -> Login:
        assert self.admin, "the table asks for an administrator only where there is one"
        return await self.admin()


class Stopped(Error):
    """A database does not answer as it should. What is pending stays; the next tick goes on."""

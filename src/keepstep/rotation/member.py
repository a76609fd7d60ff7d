"""One database of a credential, and how it is changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from keepstep.databases.interface import Answer, Database, Login
from keepstep.errors import Error
from keepstep.rotation.changes import Strategy
from keepstep.rotation.rows import Member
from keepstep.rotation.settings import Called, as_key

Admin = Callable[[], Awaitable[Login]]


@dataclass(frozen=True, slots=True)
class DatabaseMember:
    """One database, how it is changed, and by whom: without an administrator the credential changes itself."""

    database: Database
    strategy: Strategy
    admin: Admin | None = field(default=None, repr=False)
    called: Called = as_key

    @property
    def as_input(self) -> Member:
        """What the table needs to know of it."""
        return Member(self.database.name, self.admin is not None)

    async def administrator(self) -> Login:
        assert self.admin, "the table asks for an administrator only where there is one"
        return await self.admin()


def remedy_of(member: DatabaseMember, answer: Answer) -> str | None:
    """What helps where a database does not say yes or no, in the user's own words."""
    match answer:
        case Answer.TLS_ERROR:
            where = "OCI_ADB_WALLET" if member.called("wallet") != "wallet" else "wallet"
            oracle = f", or the wallet with {where}" if member.database.engine.facts.has_wallet else ""
            return (
                f"set {member.called('ca')} to the CA file that signed the server's certificate{oracle}, and "
                f"{member.called('host')} to the name in it; TLS is never downgraded"
            )
        case Answer.UNREACHABLE:
            return f"check {member.called('host')} and {member.called('port')}, routes and security groups"
        case Answer.LOCKED:
            return "find out who failed to log in, and unlock the account"
    return None


class Stopped(Error):
    """A database does not answer as it should. What is pending stays; the next tick goes on."""

"""Before anything is staged: whether every database can be changed, by whom it is to be changed."""

from __future__ import annotations

from keepstep.databases.interface import Account, PasswordPolicy, Session
from keepstep.errors import Refused
from keepstep.rotation.changes import Strategy
from keepstep.rotation.lockout_guard import LockoutGuard, one_failure_locks
from keepstep.rotation.member import DatabaseMember
from keepstep.rotation.rows import StagedCredential


async def check(
    number: int, member: DatabaseMember, guard: LockoutGuard, current: StagedCredential, username: str
) -> PasswordPolicy:
    """What the database demands of the next password of ``username``. Changes nothing.

    Raises :class:`Refused` for what only people can change, with the statement.
    """
    name = member.database.name
    if len(username.encode()) > member.database.name_limit:
        raise Refused(f"{name}: the username {username} has more than {member.database.name_limit} bytes")
    async with guard.session(number, None if member.admin else current) as session:
        # First, because it names what is missing exactly, also the right to see the account.
        await _check_findings(member, session, username, current)
        account = await guard.account(number, session, username)
        if account is None:
            raise Refused(f"{name} has no user {username}", hint=member.database.remedy(username))
        if member.strategy.keeps_two:
            await _check_two(member, session, account, current)
        return await session.policy(username)


async def _check_two(member: DatabaseMember, session: Session, account: Account, current: StagedCredential) -> None:
    name, username = member.database.name, account.username
    if not session.server.keeps_two_passwords or account.can_keep_two is False:
        raise Refused(
            f"{name} cannot keep two passwords of {username}",
            hint="dual needs MySQL 8.0.14, rollover Oracle 19.12 and a profile with PASSWORD_ROLLOVER_TIME; "
            f"else set {member.called('strategy')} to alternating",
        )
    if account.failures_allowed != 1:
        return
    if await session.slot_of(current.credential.username, current.credential.password) is None:
        raise one_failure_locks(member, username)


async def _check_findings(
    member: DatabaseMember, session: Session, username: str, current: StagedCredential
) -> None:
    """What the database's own adapter finds in the way; where users take turns they must have the same rights."""
    like = current.credential.username if member.strategy is Strategy.ALTERNATING else ""
    findings = await session.preflight(username, keep_old=member.strategy.keeps_two, like=like)
    blocking = [finding for finding in findings if finding.is_blocking]
    if blocking:
        fixes = "; ".join(finding.fix for finding in blocking if finding.fix)
        raise Refused(
            "; ".join(finding.what for finding in blocking),
            hint=f"nothing was written; {fixes}" if fixes else "nothing was written",
        )

"""Checks the databases of a rotation: the current password logs in, and the next one could be set."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from keepstep.databases.errors import NotLoggedIn
from keepstep.databases.interface import Answer, Finding, LoginProbe, Session
from keepstep.doctor.check import Check, fail, of_error, ok, unknown, warn
from keepstep.errors import Error
from keepstep.rotation.changes import Strategy
from keepstep.rotation.credential import Credential, partner
from keepstep.rotation.lockout_guard import more_failures
from keepstep.rotation.member import DatabaseMember, remedy_of
from keepstep.rotation.passwords import fresh_password

_AWAY = (Answer.UNREACHABLE, Answer.TLS_ERROR)


def logs_in(base: DatabaseMember, probe: LoginProbe, current: Credential, job: str) -> Check:
    """Interprets the result of a login with the current password."""
    name, user = base.database.name, current.username
    why = f": {probe.why}" if probe.why else ""
    match probe.answer:
        case Answer.ACCEPT if probe.why:
            return warn("database", name, f"accepts the password of {user}, but denies the login{why}", probe.fix)
        case Answer.ACCEPT:
            return ok("database", name, f"accepts {user}")
        case Answer.REJECT:
            fix = f"keepstep rotate {job} --plan; {base.database.remedy(user)}"
            return fail("database", name, f"rejects {user}{why}", fix)
        case Answer.WITHHELD:
            return unknown("database", name, probe.why)
        case _:
            return fail("database", name, f"{probe.answer}{why}", probe.fix or remedy_of(base, probe.answer))


async def can_be_changed(
    base: DatabaseMember, current: Credential, opened: AbstractAsyncContextManager[Session]
) -> list[Check]:
    """Runs the rotation's own preflight for the user whose password is set next."""
    name, is_pair = base.database.name, base.strategy is Strategy.ALTERNATING
    user = partner(current.username) if is_pair else current.username
    try:
        async with opened as session:
            like = current.username if is_pair else ""
            findings = await session.preflight(user, keep_old=base.strategy.keeps_two, like=like)
            fresh_password(user, await session.policy(user))
            findings += await _limits(base, session, user, current)
    except Error as error:
        refusal = error.__cause__
        if not isinstance(refusal, NotLoggedIn):
            return [of_error("change", name, error)]
        if refusal.answer in _AWAY:
            return [unknown("change", name, "it cannot be queried")]
        return [_not_logged_in(base, refusal)]
    checks = [_check(name, finding) for finding in findings]
    return checks or [ok("change", name, f"the password of {user} could be set")]


async def _limits(base: DatabaseMember, session: Session, user: str, current: Credential) -> list[Finding]:
    """Checks the lockout limit: one failed login leaves none for a rotation, two leave none for a second worker."""
    account = await session.account(user)
    if account is None or account.failures_allowed not in (1, 2):
        return []
    if await session.slot_of(current.username, current.password) is not None:
        return []  # no login that would fail is tried there
    if account.failures_allowed == 1:
        text = f"one failed login locks {user}, and a rotation has to try some that may fail"
        return [Finding(text, more_failures(base, user))]
    text = f"two failed logins lock {user}: two workers without a shared state may fail one each at the same time"
    return [Finding(text, more_failures(base, user), is_blocking=False)]


def _not_logged_in(base: DatabaseMember, error: NotLoggedIn) -> Check:
    if base.admin and error.answer is Answer.REJECT:
        fix = f"put the administrator's current password into the secret that {base.called('admin')} names"
        return fail("change", base.database.name, f"the administrator: {error.message}", fix)
    return of_error("change", base.database.name, error)


def _check(name: str, finding: Finding) -> Check:
    make = fail if finding.is_blocking else warn
    return make("change", name, finding.what.removeprefix(f"{name}: "), finding.fix or None)

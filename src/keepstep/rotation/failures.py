"""Failed logins, remembered with the credential, so that keepstep never locks an account. Pure.

Servers count failed logins in a row and lock the account at some number (Oracle's and MySQL's
FAILED_LOGIN_ATTEMPTS, MariaDB's max_password_errors); one success resets the count, time does not. So the memory is
kept where every run on every host finds it: in labels of the AWS secret, whose names are the data.

    KEEPSTEP_FAILED-3f9a-c01d22.1.t0x2k9.77ab10.e2c4f1

After the writer's nonce, one group for each account, joined by ``-``: the account, how many logins of it failed in
a row, when the last one did (minutes since 1970, base 36), and up to four logins that were rejected. Accounts and
logins are six hex digits of a SHA-256 over names and version ids; no password goes into them.
Two writers leave two labels; a reader adds them up.

When a login may be tried again:

==========================================  ==============================================================
known of the account                        the next login that may fail
==========================================  ==============================================================
fewer than two failed in a row              at once
``n`` failed in a row                       an hour after the last, then two, four, eight … hours
the server's limit is ``n + 1``             never: one more would lock it
==========================================  ==============================================================

CURRENT, which clients log in with all the time, is asked at once after two failures too, and where the limit is
known after more. A login whose answer is not needed leaves one failure below the limit to the others.
The same login, rejected less than an hour ago, is not asked again: the answer is remembered.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

PREFIX = "KEEPSTEP_FAILED-"
FREE = 2
"""Failed logins in a row that are not followed by a rest."""
REST = timedelta(hours=1)
"""The first rest; each further failure doubles it."""
NEVER = datetime.max.replace(tzinfo=UTC)
_LABEL = 256
"""Characters of a label (UpdateSecretVersionStage, VersionStage)."""
_KEPT = 4
"""Rejected logins that are remembered for each account."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Failed:
    """What is remembered of one account."""

    count: int
    """Logins that failed in a row, since one succeeded."""
    at: datetime
    """When the last one failed; aware, whole minutes."""
    logins: tuple[str, ...] = ()
    """Logins that were rejected, the latest last."""

    def plus(self, other: Failed) -> Failed:
        logins = tuple(dict.fromkeys((*self.logins, *other.logins)))[-_KEPT:]
        return Failed(self.count + other.count, max(self.at, other.at), logins)


Failures = Mapping[str, Failed]
"""By account."""


def account_of(database: str, username: str) -> str:
    return _digest(database, username)


def login_of(account: str, version: str) -> str:
    """The login with what that version of the secret holds."""
    return _digest(account, version)


class Weight(Enum):
    """How much depends on a login."""

    HEAVY = "CURRENT"
    PLAIN = "other"
    LIGHT = "can be done without"


def next_try(failed: Failed | None, limit: int | None, weight: Weight) -> datetime | None:
    """The earliest moment for a login that may fail; :data:`NEVER` when one more failure would lock the account.

    None: at once. ``limit`` is the number of failures in a row at which the server locks the account.
    """
    count = failed.count if failed else 0
    spare = 2 if weight is Weight.LIGHT and count else 1
    if limit is not None and count + spare >= limit:
        return NEVER
    is_free = count < FREE or (weight is Weight.HEAVY and (limit is not None or count == FREE))
    if failed is None or is_free:
        return None
    return failed.at + REST * (1 << min(count - FREE, 12))


def is_remembered(failed: Failed | None, login: str, now: datetime) -> bool:
    """Whether that login was rejected less than :data:`REST` ago."""
    return failed is not None and login in failed.logins and now - failed.at < REST


def with_failure(failures: Failures, account: str, login: str, now: datetime) -> Failures:
    before = failures.get(account)
    known = tuple(each for each in (before.logins if before else ()) if each != login)
    count = 1 + (before.count if before else 0)
    return {**failures, account: Failed(count, now.replace(second=0, microsecond=0), (*known, login)[-_KEPT:])}


def with_success(failures: Failures, account: str, login: str, now: datetime) -> Failures:
    """The count starts over; other logins that were rejected lately stay so."""
    before = failures.get(account)
    if before is None:
        return failures
    left = tuple(each for each in before.logins if each != login) if now - before.at < REST else ()
    rest = {key: failed for key, failed in failures.items() if key != account}
    return {**rest, account: replace(before, count=0, logins=left)} if left else rest


def without(failures: Failures, account: str, login: str) -> Failures:
    """The password was set, so that it was rejected says nothing any more; the count stays."""
    before = failures.get(account)
    if before is None:
        return failures
    return {**failures, account: replace(before, logins=tuple(each for each in before.logins if each != login))}


def read(labels: Iterable[str]) -> Failures:
    """Adds up what all writers noted. A label that makes no sense is skipped."""
    found: dict[str, Failed] = {}
    for label in sorted(labels):
        if not label.startswith(PREFIX):
            continue
        for group in label.removeprefix(PREFIX).split("-")[1:]:
            account, _, rest = group.partition(".")
            failed = _parsed(rest)
            if failed:
                found[account] = found[account].plus(failed) if account in found else failed
    return found


def merged(failures: Failures, others: Failures) -> Failures:
    both = failures.keys() & others.keys()
    return {**failures, **others, **{account: failures[account].plus(others[account]) for account in both}}


def label_for(failures: Failures) -> str | None:
    """A label that says it all, with a nonce of its own; None when there is nothing to say.

    What has no room is left out, the oldest first.
    """
    latest = sorted(failures.items(), key=lambda item: item[1].at, reverse=True)
    text = PREFIX + secrets.token_hex(2)
    for account, failed in latest:
        words = [account, str(failed.count), _in_base36(int(failed.at.timestamp()) // 60), *failed.logins]
        group = "-" + ".".join(words)
        if len(text) + len(group) <= _LABEL:
            text += group
    return text if latest else None


def _parsed(text: str) -> Failed | None:
    count, _, rest = text.partition(".")
    minutes, *logins = rest.split(".")
    try:
        return Failed(int(count), datetime.fromtimestamp(int(minutes, 36) * 60, UTC), tuple(logins))
    except (ValueError, OverflowError, OSError):
        return None


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:6]


def _in_base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"

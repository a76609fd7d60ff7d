"""Logins that are tried without locking anybody out.

Databases count failed logins in a row and lock the account at some number of them (Oracle's FAILED_LOGIN_ATTEMPTS,
10 by default; MySQL's option of the same name; MariaDB's max_password_errors). A success starts the count anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from keepstep.clock import Clock
from keepstep.databases.interface import Answer, Database, Login, Probe, Session

FAILURES = 2
"""Failed logins that may be caused in a row, by account and :data:`WINDOW`."""
WINDOW = timedelta(hours=1)


class Sparing:
    """A database whose accounts are spared: after two rejected probes in a row, no more for an hour.

    What cannot be asked is answered with ``WITHHELD``. A login that was accepted starts the count anew, as it does
    in the database. It knows what this process did; a database says itself whether an account is locked.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self.engine = database.engine
        self.name = database.name
        self.name_limit = database.name_limit
        self._database = database
        self._clock = clock
        self._failures: dict[str, list[float]] = {}

    async def probe(self, login: Login) -> Probe:
        now = self._clock.monotonic()
        recent = [at for at in self._failures.get(login.username, ()) if now - at < WINDOW.total_seconds()]
        if len(recent) >= FAILURES:
            minutes = (recent[0] + WINDOW.total_seconds() - now) / 60
            why = f"{len(recent)} logins of {login.username} failed; the next may be tried in {minutes:.0f} minutes"
            return Probe(Answer.WITHHELD, why)
        probe = await self._database.probe(login)
        if probe.answer is Answer.REJECT:
            recent.append(now)
        self._failures[login.username] = [] if probe.answer is Answer.ACCEPT else recent
        return probe

    def session(self, login: Login) -> AbstractAsyncContextManager[Session]:
        return self._database.session(login)

    def remedy(self, username: str) -> str:
        return self._database.remedy(username)


async def probe_all(database: Database, logins: Sequence[Login]) -> list[Probe]:
    """An answer for each login, in their order; ends with the first that says nothing about its password.

    The logins are given the most likely first, and tried the other way round, so that the series ends with the
    success that starts the server's count anew. Those not tried are ``WITHHELD``.
    """
    answers = [Probe(Answer.WITHHELD, "not asked after another login went wrong")] * len(logins)
    for number in reversed(range(len(logins))):
        answers[number] = await database.probe(logins[number])
        if answers[number].answer not in (Answer.ACCEPT, Answer.REJECT):
            break
    return answers

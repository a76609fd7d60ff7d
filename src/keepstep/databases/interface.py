"""What every database can do for a rotation, whatever its engine. Adapters stand next to this file, one each.

Two roles speak to a database. A *probe* logs in as the credential and says how the database answered. A *session*
is one connection of the administrator, or of the credential itself where there is no administrator: it holds the
lock and changes passwords, and when it dies the lock is free and the change it was making is dead too.

TLS is verified to the server's name, always; nothing ever falls back to plain text. Nothing here holds a password
longer than a call, and no error repeats one: not the server's words about a statement, nor the statement.
Coroutines of one event loop; a session is used by one task at a time.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from keepstep.databases.engines import Engine
from keepstep.secret import Secret


class Answer(StrEnum):
    """The outcome of a probe. Only the first two say anything about the password."""

    ACCEPT = "accept"
    """The password is right, also where the login went no further: no right to connect, too many connections."""
    REJECT = "reject"
    """The password is wrong, or there is no such user: servers do not say which."""
    EXPIRED = "expired"
    """The password is right, and too old: nobody gets in with it until it, or another one, is set."""
    LOCKED = "locked"
    """The account accepts no login, whatever the password."""
    UNREACHABLE = "unreachable"
    """There was no answer, or none of a running database; also a server too busy for another connection."""
    TLS_ERROR = "tls-error"
    """The server could not prove its identity, or does not support TLS."""
    WITHHELD = "withheld"
    """Not asked, so that failed logins do not lock the account (see :mod:`keepstep.rotation.failures`)."""


class PasswordSlot(StrEnum):
    """Which of a user's passwords one is, by what the server stores of them."""

    NEWEST = "newest"
    SECOND = "second"
    """The older one, which goes on working."""
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Login:
    """A username and its password."""

    username: str
    password: Secret = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoginProbe:
    """The answer to one login, and the reason in words for people; it holds no password and no statement."""

    answer: Answer
    why: str = ""
    fix: str = ""
    """The statement that an administrator has to run, where there is one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An obstacle to a change that a preflight found."""

    what: str
    """In words for people, the user or the server named. It holds no password."""
    fix: str = ""
    """The exact statement, or the next step; empty where nothing but the words can be said."""
    is_blocking: bool = True
    """Whether the change cannot work, or would lock somebody out; otherwise it is only worth knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordPolicy:
    """What a server demands of a new password, as far as it tells: numbers of characters, 0 for no demand."""

    shortest: int = 0
    longest: int | None = None
    capitals: int = 0
    small_letters: int = 0
    digits: int = 0
    marks: int = 0
    """Characters that are neither letters nor digits."""

    def with_(self, other: PasswordPolicy) -> PasswordPolicy:
        """The demands of both."""
        limits = [limit for limit in (self.longest, other.longest) if limit is not None]
        return PasswordPolicy(
            shortest=max(self.shortest, other.shortest),
            longest=min(limits, default=None),
            capitals=max(self.capitals, other.capitals),
            small_letters=max(self.small_letters, other.small_letters),
            digits=max(self.digits, other.digits),
            marks=max(self.marks, other.marks),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """What a session found."""

    version: str
    keeps_two_passwords: bool
    """Whether a change can leave the old password working: MySQL from 8.0.14, Oracle from 19.12."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What an administrator sees of a user. Where rights do not suffice a field is None: not known."""

    username: str
    locked: str = ""
    """Why nobody can log in, in the server's words (``LOCKED(TIMED)``, ``NOLOGIN``); empty when somebody can."""
    has_second_password: bool | None = None
    """An older password still logs in: MySQL's secondary one, an Oracle rollover under way."""
    second_password_until: datetime | None = None
    """When the server itself will retire it; aware. None where it stays until it is discarded."""
    can_keep_two: bool | None = None
    """Whether ``set_password(keep_old=True)`` can work for this user."""
    failures_allowed: int | None = None
    """Failed logins in a row that lock the account; None when they never do, or when it is not known.

    With 1 a single probe of a password that is not set locks it: none may be tried that can fail.
    """
    roles: frozenset[str] = frozenset()
    """Roles that the user is a member of: what a pair of alternating users has in common."""
    default_role: str = ""
    """The role that a new session acts as, which then owns what it makes; empty when there is none."""


class Session(Protocol):
    """One connection, until its block ends.

    Every method raises :class:`~keepstep.databases.errors.Unreachable` when the connection dies, and
    :class:`~keepstep.errors.Denied` with the GRANT that is missing. Nothing is repeated.
    """

    server: ServerInfo

    async def lock(self, name: str) -> bool:
        """Takes the lock of that name for the rest of the session; False when another session holds it.

        Never waits; repeating is safe. The name is of any length. In PostgreSQL a lock is one database's. An
        Oracle user that changes its own password takes none where it may not use DBMS_LOCK: that change compares
        the old password and sets the new one in one step.
        """
        ...

    async def account(self, username: str) -> Account | None:
        """None when there is no such user."""
        ...

    async def preflight(self, username: str, *, keep_old: bool = False, like: str = "") -> list[Finding]:
        """What would keep ``set_password(username, …, keep_old=keep_old)`` from working, found by reading alone.

        Looks for rights that this session lacks, a server that only reads, an account that is missing, locked,
        expired, has no password to change, or that clients cannot use without a certificate. ``like`` is another
        user whose grants, roles, default roles and settings ``username`` has to have too: the partner of an
        alternating pair. Empty where nothing is in the way; what this session may not look at is not a finding, or
        one that does not block.
        """
        ...

    async def policy(self, username: str) -> PasswordPolicy:
        """What the server demands of the user's next password; no demands where it does not tell."""
        ...

    async def slot_of(self, username: str, password: Secret) -> PasswordSlot | None:
        """Which of the user's passwords this is, without a login; None where that cannot be seen.

        None too when the user's rows for several hosts differ. Says nothing about whether the account is locked.
        """
        ...

    async def set_password(self, username: str, new: Secret, *, keep_old: bool = False) -> None:
        """The user's password is ``new``, committed, for the user at every host there is.

        Accounts of that name that log in without a password (by socket, by certificate) stay as they are.

        With ``keep_old`` what was the newest password goes on working as the second one, and a second one that
        there was does not (MySQL), or is in the way (Oracle: :class:`~keepstep.errors.Conflict`, retire it first).
        **Not to be repeated** before a probe has rejected ``new``: MySQL would keep ``new`` as its own second
        password, and the old one would be dead. Raises :class:`~keepstep.errors.Unsupported`, with nothing
        changed, when the server or this user's profile cannot keep two.

        Without ``keep_old`` the newest password is replaced, and a second one stays as it is. (Oracle keeps the
        old one anyway where the user's profile has a rollover time and none is under way.)

        Raises :class:`~keepstep.databases.errors.PasswordRefused`, :class:`~keepstep.errors.NotFound` when there
        is no such user, :class:`~keepstep.errors.Transient` for a change that did not happen and may be tried
        again, and :class:`~keepstep.databases.errors.OutcomeUnknown` when the connection was lost meanwhile: only
        a probe can tell.
        """
        ...

    async def retire(self, username: str) -> None:
        """Only the newest password logs in from now on. Safe to repeat; does nothing when there is but one."""
        ...


class Database(Protocol):
    """One database of a credential."""

    engine: Engine
    name: str
    """As messages call it: ``postgres app@db.example.com:5432``. It holds no secret."""
    name_limit: int
    """Bytes that a username may have."""

    async def probe(self, login: Login) -> LoginProbe:
        """Logs in once, with a new connection to the server itself, and out again.

        Raises :class:`~keepstep.errors.ConfigError` when the question makes no sense: no such database, no such
        service, a certificate file that cannot be read, a server that let the user in and never asked for a
        password, a way of logging in that keepstep does not speak.
        """
        ...

    def session(self, login: Login) -> AbstractAsyncContextManager[Session]:
        """Entering it logs in, and raises :class:`~keepstep.databases.errors.NotLoggedIn` with the answer."""
        ...

    def remedy(self, username: str) -> str:
        """The statement by which an administrator gives the user a password, with ``…`` in the password's place."""
        ...

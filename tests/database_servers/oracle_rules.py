"""Users of an Oracle database, by the rules that Oracle documents.

* Gradual rollover (Database Security Guide, "Managing Gradual Database Password Rollover for Applications"): in the
  window the old password and the newest log in. A change within it replaces the newest one and leaves the old one;
  the window began with the first change and does not grow.
* PASSWORD_REUSE_MAX: none of the last four passwords again, ORA-28007.
* FAILED_LOGIN_ATTEMPTS: so many failures in a row lock the account, ORA-28000; a success starts the count anew.
* PASSWORD_VERIFY_FUNCTION as on ADB: 12 to 30 characters, capitals, small letters, digits, not the user's name.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


class OraError(Exception):
    """A refusal: its number and its words."""

    def __init__(self, number: int, words: str) -> None:
        super().__init__(f"ORA-{number:05d}: {words}")
        self.number = number


@dataclass
class User:
    """One of them, with the limits of its profile."""

    newest: str
    old: str | None = None
    changed: float = 0.0
    window_began: float = 0.0
    rollover_days: float = 1.0
    """0 for none, as for administrators."""
    failures_allowed: int = 10
    remembers: int = 4
    history: list[str] = field(default_factory=list)
    failures: int = 0
    is_locked: bool = False
    is_expired: bool = False
    privileges: frozenset[str] = frozenset({"CREATE SESSION"})
    """``ALTER USER``, ``SELECT ON SYS.DBA_USERS``: as they stand in GRANT statements."""
    roles: tuple[str, ...] = ()
    default_roles: tuple[str, ...] | None = None
    """None: all of them."""
    objects: tuple[tuple[str, str, str, str, str], ...] = ()
    """Privilege, owner, table, type, grantable: rows of DBA_TAB_PRIVS."""
    columns: tuple[tuple[str, str, str, str, str], ...] = ()
    """Privilege, owner, table, column, grantable: rows of DBA_COL_PRIVS."""


class Users:
    """All of them, and the locks of DBMS_LOCK. ``now`` is the server's clock, in seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.lock = threading.RLock()
        self.users: dict[str, User] = {}
        self.locks: dict[int, object] = {}

    def add(self, name: str, password: str, **limits: object) -> User:
        user = User(password, history=[password], changed=self.now(), **limits)  # type: ignore[arg-type]
        self.users[name.upper()] = user
        return user

    def get(self, name: str) -> User:
        if name not in self.users:
            raise OraError(1918, f"user '{name}' does not exist")
        return self.users[name]

    def candidates(self, name: str) -> list[str]:
        """The passwords that log in now. Raises ORA-28000; nobody's are none."""
        user = self.users.get(name)
        if user is None:
            return []
        if user.is_locked:
            raise OraError(28000, "The account is locked.")
        return [user.newest, *([user.old] if user.old and self.is_rolling(user) else [])]

    def logged_in(self, name: str) -> None:
        """Raises what somebody is told who knows the password."""
        user = self.users[name]
        user.failures = 0
        if user.is_expired:
            raise OraError(28001, "The account has expired.")
        if "CREATE SESSION" not in user.privileges:
            raise OraError(1045, f"user {name} lacks CREATE SESSION privilege; logon denied")

    def failed(self, name: str) -> OraError:
        user = self.users.get(name)
        if user:
            user.failures += 1
            user.is_locked = user.failures >= user.failures_allowed
        return OraError(1017, "invalid credential or not authorized; logon denied")

    def is_rolling(self, user: User) -> bool:
        return user.old is not None and self.now() < user.window_began + user.rollover_days * 86400

    def change(self, name: str, new: str) -> None:
        user = self.get(name)
        self._check(name, user, new)
        user.is_expired = False
        if user.rollover_days and not self.is_rolling(user):
            user.old, user.window_began = user.newest, self.now()
        user.newest, user.changed = new, self.now()
        user.history.append(new)

    def expire_rollover(self, name: str) -> None:
        self.get(name).old = None

    def status(self, user: User) -> str:
        if user.is_locked:
            return "LOCKED(TIMED)"
        if user.is_expired:
            return "EXPIRED"
        return "OPEN & IN ROLLOVER" if user.old is not None else "OPEN"

    def _check(self, name: str, user: User, new: str) -> None:
        kinds = all(re.search(kind, new) for kind in ("[A-Z]", "[a-z]", "[0-9]"))
        if not 12 <= len(new.encode()) <= 30 or not kinds or name.lower() in new.lower():
            raise OraError(28003, "password verification for the specified password failed")
        if new in user.history[-user.remembers :]:
            raise OraError(28007, "the password cannot be reused")

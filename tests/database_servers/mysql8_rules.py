"""Users of a MySQL 8 server, by the rules that MySQL documents.

* Dual passwords (Reference Manual 8.0, "Dual Password Support"): RETAIN CURRENT PASSWORD makes the primary password
  the secondary one, in the place of any earlier one; without it the secondary one stays as it is; an empty password
  is not retained; DISCARD OLD PASSWORD discards the secondary one, if there is one.
* Both need APPLICATION_PASSWORD_ADMIN for one's own account, CREATE USER for others.
* FAILED_LOGIN_ATTEMPTS and PASSWORD_LOCK_TIME: so many failures in a row lock the account, error 3955.
* validate_password (1819), password history (3638).
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field


class MysqlError(Exception):
    """A refusal: its number and its words."""

    def __init__(self, number: int, words: str) -> None:
        super().__init__(words)
        self.number = number


@dataclass
class User:
    """One ``user@host``."""

    primary: str
    secondary: str | None = None
    failures_allowed: int = 0
    remembers: int = 0
    history: list[str] = field(default_factory=list)
    failures: int = 0
    is_locked: bool = False
    is_admin: bool = False
    may_retain: bool = False
    """APPLICATION_PASSWORD_ADMIN."""
    roles: tuple[str, ...] = ()


class Users:
    """All of them by name and host, and the locks of GET_LOCK."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.users: dict[tuple[str, str], User] = {}
        self.locks: dict[str, object] = {}

    def add(self, name: str, password: str, host: str = "%", **limits: object) -> User:
        user = User(password, history=[password], **limits)  # type: ignore[arg-type]
        self.users[name, host] = user
        return user

    def hosts(self, name: str) -> list[str]:
        return [host for user, host in self.users if user == name]

    def log_in(self, name: str, scramble: bytes, proof: bytes) -> User:
        """By mysql_native_password. Of several hosts the first one decides, as with the most specific one."""
        user = next((user for (known, _), user in self.users.items() if known == name), None)
        if user is None:
            raise _denied(name)
        if user.is_locked:
            raise MysqlError(3118, f"Access denied for user '{name}'@'localhost'. Account is locked.")
        if user.failures_allowed and user.failures >= user.failures_allowed:
            blocked = "Account is blocked for 1 day(s) (1 day(s) remaining) due to consecutive failed logins."
            raise MysqlError(3955, f"Access denied for user '{name}'@'localhost'. {blocked}")
        if proof not in [
            native_proof(password, scramble) for password in (user.primary, user.secondary) if password
        ]:
            user.failures += 1
            raise _denied(name)
        user.failures = 0
        return user

    def change(self, changes: list[tuple[str, str, str, bool]]) -> None:
        """Name, host, password, and whether the current one is retained; all of them or none."""
        for name, host, new, keeps in changes:
            self._check(name, host, new, keeps)
        for name, host, new, keeps in changes:
            user = self.users[name, host]
            if keeps:
                user.secondary = user.primary
            user.primary = new
            user.history.append(new)

    def discard(self, accounts: list[tuple[str, str]]) -> None:
        for name, host in accounts:
            self._get(name, host).secondary = None

    def _get(self, name: str, host: str) -> User:
        if (name, host) not in self.users:
            raise MysqlError(1396, f"Operation ALTER USER failed for '{name}'@'{host}'")
        return self.users[name, host]

    def _check(self, name: str, host: str, new: str, keeps: bool) -> None:
        user = self._get(name, host)
        if keeps and not user.primary:
            raise MysqlError(3878, f"Current password can not be retained for user '{name}'@'{host}'")
        if len(new) < 8 or new.isalnum():
            raise MysqlError(1819, "Your password does not satisfy the current policy requirements")
        if user.remembers and new in user.history[-user.remembers :]:
            raise MysqlError(3638, f"Cannot use these credentials for '{name}@{host}' because of the history")


def native_proof(password: str, scramble: bytes) -> bytes:
    """What a client sends that knows the password ("Native Authentication" in MySQL's protocol reference)."""
    inner = hashlib.sha1(password.encode()).digest()
    mask = hashlib.sha1(scramble + hashlib.sha1(inner).digest()).digest()
    return bytes(a ^ b for a, b in zip(inner, mask, strict=True))


def _denied(name: str) -> MysqlError:
    return MysqlError(1045, f"Access denied for user '{name}'@'localhost' (using password: YES)")

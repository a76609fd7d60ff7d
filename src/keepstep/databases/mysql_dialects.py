"""Where MySQL and MariaDB differ: what they know of an account, and how its password is changed.

Statements are ``(text, parameters)`` for PyMySQL, which quotes the parameters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from keepstep.databases.interface import Account
from keepstep.errors import Unsupported
from keepstep.secret import Secret

Row = tuple[Any, ...]
Statement = tuple[str, tuple[str, ...]]


class Dialect(Protocol):
    """One of the two."""

    keeps_two_passwords: bool
    users: str
    """Query for a user's rows, the host first, by name."""
    roles: str
    """Query for the roles of a user: name, and whether it is the default one."""

    def account(self, username: str, rows: Sequence[Row], roles: Iterable[Row]) -> Account: ...

    def change(self, username: str, hosts: Sequence[str], new: Secret, *, keep_old: bool) -> list[Statement]:
        """No hosts means the account that is logged in."""
        ...

    def change_plainly(self, username: str, hosts: Sequence[str], new: Secret) -> list[Statement]:
        """The same for servers that want to see the password; none where ``change`` shows it anyway."""
        ...

    def retire(self, username: str, hosts: Sequence[str]) -> list[Statement]: ...


class Mysql:
    """Statements hold the password; MySQL rewrites them before it writes them to a log.

    https://dev.mysql.com/doc/refman/8.0/en/password-logging.html
    """

    def __init__(self, version: Sequence[int]) -> None:
        self.keeps_two_passwords = tuple(version) >= (8, 0, 14)
        known = (
            "JSON_CONTAINS_PATH(User_attributes, 'one', '$.additional_password'), "
            "JSON_EXTRACT(User_attributes, '$.Password_locking.failed_login_attempts')"
        )
        extra = known if self.keeps_two_passwords else "0, NULL"
        self.users = f"SELECT Host, account_locked, {extra} FROM mysql.user WHERE User = %s"  # noqa: S608
        self.roles = (
            "SELECT e.FROM_USER, d.USER IS NOT NULL FROM mysql.role_edges e LEFT JOIN mysql.default_roles d"
            " ON (d.HOST, d.USER, d.DEFAULT_ROLE_USER) = (e.TO_HOST, e.TO_USER, e.FROM_USER) WHERE e.TO_USER = %s"
        )

    def account(self, username: str, rows: Sequence[Row], roles: Iterable[Row]) -> Account:
        limits = [int(row[3]) for row in rows if int(row[3] or 0)]
        return Account(
            username=username,
            locked="ACCOUNT LOCK" if all(row[1] == "Y" for row in rows) else "",
            has_second_password=any(int(row[2] or 0) for row in rows),
            can_keep_two=self.keeps_two_passwords,
            failures_allowed=min(limits, default=None),
            **_roles(roles),
        )

    def change(self, username: str, hosts: Sequence[str], new: Secret, *, keep_old: bool) -> list[Statement]:
        """One statement for all hosts: it is atomic."""
        tail = " RETAIN CURRENT PASSWORD" if keep_old else ""
        if not hosts:
            return [(f"ALTER USER USER() IDENTIFIED BY %s{tail}", (new.reveal(),))]
        parts = ", ".join([f"%s@%s IDENTIFIED BY %s{tail}"] * len(hosts))
        return [(f"ALTER USER {parts}", tuple(word for host in hosts for word in (username, host, new.reveal())))]

    def change_plainly(self, username: str, hosts: Sequence[str], new: Secret) -> list[Statement]:
        return []

    def retire(self, username: str, hosts: Sequence[str]) -> list[Statement]:
        if not self.keeps_two_passwords:
            return []
        if not hosts:
            return [("ALTER USER USER() DISCARD OLD PASSWORD", ())]
        parts = ", ".join(["%s@%s DISCARD OLD PASSWORD"] * len(hosts))
        return [(f"ALTER USER {parts}", tuple(word for host in hosts for word in (username, host)))]


class Mariadb:
    """MariaDB writes the statements that it is sent to its general and binary logs, so it is sent a hash.

    https://mariadb.com/kb/en/set-password/: a hash of mysql_native_password is taken as it is. Where a validation
    plugin wants to see the password (``strict_password_validation``), or the account has another plugin, it is
    sent as ``PASSWORD('…')``, which is kept out of the binary log, though not out of the general one.
    """

    keeps_two_passwords = False
    users = (
        "SELECT Host, JSON_VALUE(Priv, '$.account_locked'), @@max_password_errors, JSON_VALUE(Priv, '$.plugin')"
        " FROM mysql.global_priv WHERE User = %s AND JSON_VALUE(Priv, '$.is_role') IS NULL"
    )
    roles = (
        "SELECT m.Role, m.Role = JSON_VALUE(g.Priv, '$.default_role') FROM mysql.roles_mapping m"
        " JOIN mysql.global_priv g ON g.User = m.User AND g.Host = m.Host WHERE m.User = %s"
    )

    def account(self, username: str, rows: Sequence[Row], roles: Iterable[Row]) -> Account:
        most = int(rows[0][2])
        return Account(
            username=username,
            locked="ACCOUNT LOCK" if all(str(row[1]) in ("1", "true") for row in rows) else "",
            has_second_password=False,
            can_keep_two=False,
            failures_allowed=most if most < 2**32 - 1 else None,
            **_roles(roles),
        )

    def change(self, username: str, hosts: Sequence[str], new: Secret, *, keep_old: bool) -> list[Statement]:
        if keep_old:
            raise Unsupported("MariaDB keeps one password for each user")
        hashed = _native_hash(new)
        if not hosts:
            return [("SET PASSWORD = %s", (hashed,))]
        # SET PASSWORD FOR would want UPDATE on mysql.*, ALTER USER is content with CREATE USER.
        return self._alter(username, hosts, "IDENTIFIED VIA mysql_native_password USING %s", hashed)

    def change_plainly(self, username: str, hosts: Sequence[str], new: Secret) -> list[Statement]:
        if not hosts:
            return [("SET PASSWORD = PASSWORD(%s)", (new.reveal(),))]
        return self._alter(username, hosts, "IDENTIFIED BY %s", new.reveal())

    def retire(self, username: str, hosts: Sequence[str]) -> list[Statement]:
        return []

    def _alter(self, username: str, hosts: Sequence[str], form: str, value: str) -> list[Statement]:
        parts = ", ".join([f"%s@%s {form}"] * len(hosts))
        return [(f"ALTER USER {parts}", tuple(word for host in hosts for word in (username, host, value)))]


def dialect_of(server_version: str) -> tuple[str, Dialect]:
    """The version as people write it, and what speaks to it; ``5.5.5-10.11.6-MariaDB`` is MariaDB 10.11.6."""
    if "MariaDB" in server_version:
        return server_version.removeprefix("5.5.5-").split("-")[0], Mariadb()
    version = server_version.split("-")[0]
    return version, Mysql([int(part) for part in version.split(".") if part.isdecimal()])


def _native_hash(password: Secret) -> str:
    """What mysql_native_password stores: SHA-1 of the SHA-1, in hex behind a star. It is the server's choice."""
    inner = hashlib.sha1(password.reveal_bytes(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()


def _roles(rows: Iterable[Row]) -> dict[str, Any]:
    rows = list(rows)
    default = next((str(row[0]) for row in rows if row[1]), "")
    return {"roles": frozenset(str(row[0]) for row in rows), "default_role": default}

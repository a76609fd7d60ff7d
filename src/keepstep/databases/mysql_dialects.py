"""Where MySQL and MariaDB differ: what they know of an account, and how its password is changed.

Statements are ``(text, parameters)`` for PyMySQL, which quotes the parameters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from keepstep.databases.interface import PasswordPolicy
from keepstep.databases.mariadb_plugins import STORED
from keepstep.databases.mysql_accounts import (
    MARIADB_COLUMNS,
    MYSQL_COLUMNS,
    MYSQL_EXTRA,
    AccountRow,
    mariadb_row,
    mysql_row,
)
from keepstep.databases.mysql_verifiers import MARIADB_VERIFIERS, MYSQL_SECOND, MYSQL_VERIFIERS
from keepstep.errors import Unsupported
from keepstep.secret import Secret

Row = tuple[Any, ...]
Statement = tuple[str, tuple[str, ...]]


class Dialect(Protocol):
    """One of the two."""

    keeps_two_passwords: bool
    rows: str
    """Query for a user's rows, by name."""
    verifiers: str
    """Query for what the server stores of a user's passwords: plugin, newest, second or NULL."""
    roles: str
    """Query for the roles of a user: name, whether it is a default one, and the user's host."""
    read_only: str
    """Query for whether the server refuses changes: those of ordinary users, and everybody's."""
    writes_anyway: frozenset[str]
    """Privileges whose holders write where only some are refused."""
    policy: str
    """Query for the variables of the server's password policy."""

    def row(self, row: Row) -> AccountRow: ...

    def change(self, username: str, rows: Sequence[AccountRow], new: Secret, *, keep_old: bool) -> Statement:
        """One statement for all rows that have a password; the others stay as they are."""
        ...

    def change_plainly(self, username: str, rows: Sequence[AccountRow], new: Secret) -> Statement | None:
        """The same for servers that want to see the password; None where ``change`` shows it anyway."""
        ...

    def change_own(self, row: AccountRow | None, new: Secret, *, keep_old: bool) -> Statement:
        """For the account that is logged in; ``row`` is None where that account may not see itself."""
        ...

    def retire(self, username: str, rows: Sequence[AccountRow]) -> Statement | None: ...

    def demands(self, variables: dict[str, str]) -> PasswordPolicy: ...


class Mysql:
    """Statements hold the password; MySQL rewrites them before it writes them to a log.

    https://dev.mysql.com/doc/refman/8.0/en/password-logging.html
    """

    read_only = "SELECT @@read_only, @@super_read_only OR @@innodb_read_only"
    writes_anyway = frozenset({"CONNECTION_ADMIN", "SUPER", "ALL PRIVILEGES"})
    policy = "SHOW VARIABLES LIKE 'validate_password%'"
    roles = (
        "SELECT e.FROM_USER, d.USER IS NOT NULL, e.TO_HOST FROM mysql.role_edges e LEFT JOIN mysql.default_roles d"
        " ON (d.HOST, d.USER, d.DEFAULT_ROLE_USER) = (e.TO_HOST, e.TO_USER, e.FROM_USER) WHERE e.TO_USER = %s"
    )

    def __init__(self, version: Sequence[int]) -> None:
        self.keeps_two_passwords = tuple(version) >= (8, 0, 14)
        self.verifiers = MYSQL_VERIFIERS.format(second=MYSQL_SECOND if self.keeps_two_passwords else "NULL")
        self.rows = MYSQL_COLUMNS.format(extra=MYSQL_EXTRA if self.keeps_two_passwords else "0, NULL")

    def row(self, row: Row) -> AccountRow:
        return mysql_row(row)

    def change(self, username: str, rows: Sequence[AccountRow], new: Secret, *, keep_old: bool) -> Statement:
        tail = " RETAIN CURRENT PASSWORD" if keep_old else ""
        changed = [(f"%s@%s IDENTIFIED BY %s{tail}", (username, row.host, new.reveal())) for row in rows]
        return _alter(changed)

    def change_plainly(self, username: str, rows: Sequence[AccountRow], new: Secret) -> Statement | None:
        return None

    def change_own(self, row: AccountRow | None, new: Secret, *, keep_old: bool) -> Statement:
        tail = " RETAIN CURRENT PASSWORD" if keep_old else ""
        return f"ALTER USER USER() IDENTIFIED BY %s{tail}", (new.reveal(),)

    def retire(self, username: str, rows: Sequence[AccountRow]) -> Statement | None:
        if not self.keeps_two_passwords:
            return None
        if not rows:
            return "ALTER USER USER() DISCARD OLD PASSWORD", ()
        return _alter([("%s@%s DISCARD OLD PASSWORD", (username, row.host)) for row in rows])

    def demands(self, variables: dict[str, str]) -> PasswordPolicy:
        """The component's variables have a dot where the old plugin's have an underscore."""
        known = {
            name.replace(".", "_").removeprefix("validate_password_"): text for name, text in variables.items()
        }
        if not known:
            return PasswordPolicy()
        length = int(known.get("length", 0))
        if known.get("policy") in ("LOW", "0"):
            return PasswordPolicy(shortest=length)
        mixed = int(known.get("mixed_case_count", 0))
        return PasswordPolicy(
            shortest=length,
            capitals=mixed,
            small_letters=mixed,
            digits=int(known.get("number_count", 0)),
            marks=int(known.get("special_char_count", 0)),
        )


class Mariadb:
    """MariaDB writes the statements that it is sent to its general and binary logs, so it is sent what it stores.

    Where a validation plugin wants to see the password (``strict_password_validation``) it is sent as it is, which
    the binary log does not show, though the general one does. ``SET PASSWORD FOR`` would want ``UPDATE`` on
    ``mysql.*``; ``ALTER USER`` is content with ``CREATE USER``.
    """

    keeps_two_passwords = False
    rows = MARIADB_COLUMNS
    verifiers = MARIADB_VERIFIERS
    roles = (
        "SELECT m.Role, COALESCE(m.Role = JSON_VALUE(g.Priv, '$.default_role'), 0), m.Host"
        " FROM mysql.roles_mapping m JOIN mysql.global_priv g USING (User, Host) WHERE m.User = %s"
    )
    read_only = "SELECT @@read_only NOT IN ('0', 'OFF'), @@innodb_read_only"
    writes_anyway = frozenset({"READ ONLY ADMIN", "SUPER", "ALL PRIVILEGES"})
    policy = "SHOW VARIABLES LIKE 'simple_password_check%'"

    def row(self, row: Row) -> AccountRow:
        return mariadb_row(row)

    def change(self, username: str, rows: Sequence[AccountRow], new: Secret, *, keep_old: bool) -> Statement:
        if keep_old:
            raise Unsupported("MariaDB keeps one password for each user")
        return self._change(username, rows, lambda plugin: ("%s", STORED[plugin](new)))

    def change_plainly(self, username: str, rows: Sequence[AccountRow], new: Secret) -> Statement | None:
        return self._change(username, rows, lambda plugin: ("PASSWORD(%s)", new.reveal()))

    def change_own(self, row: AccountRow | None, new: Secret, *, keep_old: bool) -> Statement:
        if keep_old:
            raise Unsupported("MariaDB keeps one password for each user")
        plugins = [method.plugin for method in row.methods if method.is_changeable] if row else []
        if len(plugins) == 1:
            return "SET PASSWORD = %s", (STORED[plugins[0]](new),)
        # It sets the password of every method, each in its own form.
        return "SET PASSWORD = PASSWORD(%s)", (new.reveal(),)

    def retire(self, username: str, rows: Sequence[AccountRow]) -> Statement | None:
        return None

    def demands(self, variables: dict[str, str]) -> PasswordPolicy:
        known = {name.removeprefix("simple_password_check_"): int(text) for name, text in variables.items()}
        letters = known.get("letters_same_case", 0)
        return PasswordPolicy(
            shortest=known.get("minimal_length", 0),
            capitals=letters,
            small_letters=letters,
            digits=known.get("digits", 0),
            marks=known.get("other_characters", 0),
        )

    def _change(self, username: str, rows: Sequence[AccountRow], form: Any) -> Statement:
        """A row's other methods are repeated as they are: ``IDENTIFIED VIA`` replaces them all."""
        changed = []
        for row in rows:
            words: list[str] = []
            values: list[str] = [username, row.host]
            for method in row.methods:
                if not re.fullmatch(r"\w+", method.plugin):
                    raise Unsupported(f"no plugin has the name {method.plugin!r}")
                using, value = form(method.plugin) if method.is_changeable else ("%s", method.stored)
                words.append(method.plugin + (f" USING {using}" if value is not None else ""))
                values += [value] if value is not None else []
            changed.append((f"%s@%s IDENTIFIED VIA {' OR '.join(words)}", tuple(values)))
        return _alter(changed)


def dialect_of(server_version: str) -> tuple[str, Dialect]:
    """The version as people write it, and what speaks to it; ``5.5.5-10.11.6-MariaDB`` is MariaDB 10.11.6."""
    if "MariaDB" in server_version:
        return server_version.removeprefix("5.5.5-").split("-")[0], Mariadb()
    version = server_version.split("-")[0]
    return version, Mysql([int(part) for part in version.split(".") if part.isdecimal()])


def _alter(parts: Sequence[tuple[str, tuple[str, ...]]]) -> Statement:
    """One statement for all: MySQL's is atomic."""
    return "ALTER USER " + ", ".join(text for text, _ in parts), tuple(word for _, words in parts for word in words)

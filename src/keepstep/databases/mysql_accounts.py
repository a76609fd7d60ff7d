"""One row of MySQL's or MariaDB's table of users: a name has one for each host that it may come from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from keepstep.databases.mariadb_plugins import STORED

_MYSQL_PLUGINS = frozenset({"caching_sha2_password", "sha256_password", "mysql_native_password"})
"""MySQL's plugins that keep a password of their own."""
_NO_LIMIT = 2**32 - 1
_CERTIFICATES = ("X509", "SPECIFIED")
_LIMITS = {
    "max_questions": "MAX_QUERIES_PER_HOUR",
    "max_updates": "MAX_UPDATES_PER_HOUR",
    "max_connections": "MAX_CONNECTIONS_PER_HOUR",
    "max_user_connections": "MAX_USER_CONNECTIONS",
    "max_statement_time": "MAX_STATEMENT_TIME",
}
"""Columns of MySQL in this order, the last one but MariaDB's alone; 0 is not a limit."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to log in; MariaDB may know several for one row, of which any one will do."""

    plugin: str
    is_changeable: bool
    """The plugin keeps a password, and keepstep knows in what form."""
    has_password: bool
    stored: str | None = None
    """What follows ``USING``, where it has to be repeated; never a password that is to be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """What an administrator may read of it; no password and no hash of one that is in use."""

    host: str
    methods: tuple[Method, ...]
    is_locked: bool = False
    is_expired: bool = False
    needs_certificate: bool = False
    has_second: bool = False
    failures_allowed: int | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    """What an account may use, by the word for it in ALTER USER; without a limit it is not in here."""

    @property
    def changes(self) -> bool:
        """Whether a change of the user's password concerns this row."""
        return any(method.is_changeable for method in self.methods)

    @property
    def is_empty(self) -> bool:
        """It logs in with no password at all."""
        return any(method.is_changeable and not method.has_password for method in self.methods)

    @property
    def plugins(self) -> str:
        return " or ".join(method.plugin for method in self.methods)


MYSQL_COLUMNS = """
SELECT Host, plugin, authentication_string <> '', account_locked, ssl_type, password_expired = 'Y' OR (
         COALESCE(password_lifetime, @@default_password_lifetime) > 0 AND NOW() >=
         password_last_changed + INTERVAL COALESCE(password_lifetime, @@default_password_lifetime) DAY),
       max_questions, max_updates, max_connections, max_user_connections, {extra}
  FROM mysql.user WHERE User = %s
"""
MYSQL_EXTRA = (
    "JSON_CONTAINS_PATH(User_attributes, 'one', '$.additional_password'), "
    "JSON_EXTRACT(User_attributes, '$.Password_locking.failed_login_attempts')"
)
"""From 8.0.14; before it there is neither."""
MARIADB_COLUMNS = (
    "SELECT Host, Priv, @@max_password_errors, @@default_password_lifetime FROM mysql.global_priv"
    " WHERE User = %s AND JSON_VALUE(Priv, '$.is_role') IS NULL"
)


def mysql_row(row: Sequence[Any]) -> AccountRow:
    host, plugin, has_password, locked, certificate, expired, *limits, second, failures = row
    return AccountRow(
        host=str(host),
        methods=(Method(str(plugin), plugin in _MYSQL_PLUGINS, bool(has_password)),),
        is_locked=locked == "Y",
        is_expired=bool(expired),
        needs_certificate=certificate in _CERTIFICATES,
        has_second=bool(int(second or 0)),
        failures_allowed=int(failures or 0) or None,
        limits={word: float(limit) for word, limit in zip(_LIMITS.values(), limits, strict=False) if limit},
    )


def mariadb_row(row: Sequence[Any]) -> AccountRow:
    """https://mariadb.com/kb/en/mysqlglobal_priv-table/ : one JSON object holds all that there is to know."""
    host, text, errors, lifetime = row
    known = json.loads(text)
    own = {key: known.get(key, "") for key in ("plugin", "authentication_string")}
    alternatives = [each or own for each in known.get("auth_or", [{}])]
    days = known.get("password_lifetime", -1)
    days = int(lifetime) if days < 0 else days
    changed = int(known.get("password_last_changed", -1))
    ends = datetime.fromtimestamp(max(changed, 0), UTC) + timedelta(days=days)
    return AccountRow(
        host=str(host),
        methods=tuple(map(_method, alternatives)),
        is_locked=bool(known.get("account_locked")),
        is_expired=changed == 0 or (days > 0 and changed > 0 and ends <= datetime.now(UTC)),
        needs_certificate=int(known.get("ssl_type", 0)) >= 2,
        failures_allowed=int(errors) if int(errors) < _NO_LIMIT else None,
        limits={word: float(known[key]) for key, word in _LIMITS.items() if known.get(key)},
    )


def _method(known: dict[str, Any]) -> Method:
    plugin, stored = str(known.get("plugin") or "mysql_native_password"), known.get("authentication_string", "")
    is_changeable = plugin in STORED
    return Method(plugin, is_changeable, bool(stored), None if is_changeable else stored or None)


def own_row(host: str, created: str, errors: int | None) -> AccountRow:
    """The account that is logged in, of which it may see ``SHOW CREATE USER`` alone."""
    tail = created.partition(" IDENTIFIED ")[2]
    plugins = re.findall(r"(?:WITH|VIA|OR) '?(\w+)'?", re.sub(r" (USING|AS) '(?:[^'\\]|\\.|'')*'", "", tail))
    known = STORED.keys() | _MYSQL_PLUGINS
    failures = re.search(r"\bFAILED_LOGIN_ATTEMPTS (\d+)", tail)
    allowed = int(failures[1]) if failures else errors
    return AccountRow(
        host=host,
        methods=tuple(Method(plugin, plugin in known, True) for plugin in plugins or ["mysql_native_password"]),
        failures_allowed=allowed if allowed and allowed < _NO_LIMIT else None,
    )

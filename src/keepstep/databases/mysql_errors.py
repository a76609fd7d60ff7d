"""What MySQL's and MariaDB's refusals mean.

Numbers: https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html (1000-1999 and from 3000 on),
https://mariadb.com/kb/en/mariadb-error-code-reference/ (from 4000 on), 2000-2999 are the client's own.
"""

from __future__ import annotations

import ssl
from typing import Any

import pymysql

from keepstep.databases.errors import OutcomeUnknown, PasswordRefused, RefusalReason, Unreachable
from keepstep.databases.interface import Answer, LoginProbe
from keepstep.databases.mysql_preflight import account_of
from keepstep.errors import ConfigError, Denied, Error, NotFound, Transient, Unsupported

_ANSWERS = {
    1045: Answer.REJECT,
    3118: Answer.LOCKED,
    3955: Answer.LOCKED,
    4150: Answer.LOCKED,
    4151: Answer.LOCKED,
    # These are asked once the password has been found right; 1040 is asked before.
    1044: Answer.ACCEPT,
    1203: Answer.ACCEPT,
    1226: Answer.ACCEPT,
    1820: Answer.EXPIRED,
    1862: Answer.EXPIRED,
    2026: Answer.TLS_ERROR,
}
_FIXES = {
    Answer.EXPIRED: "ALTER USER {user} IDENTIFIED BY '…'",
    3118: "ALTER USER {user} ACCOUNT UNLOCK",
    3955: "ALTER USER {user} ACCOUNT UNLOCK",
    4150: "FLUSH PRIVILEGES",
    4151: "ALTER USER {user} ACCOUNT UNLOCK",
    1129: "FLUSH HOSTS, or TRUNCATE TABLE performance_schema.host_cache",
}
_MISCONFIGURED = {
    1049: "check the database's name",
    1130: "create the user for this host too, or for '%'",
    1275: "ALTER USER {user} IDENTIFIED BY '…': its password has a form of before 4.1",
    1698: "give the account a password: ALTER USER {user} IDENTIFIED BY '…', by a plugin that keeps one",
    2059: "the account's plugin is none that keepstep speaks: ALTER USER {user} IDENTIFIED BY '…', by another one",
}
_DENIED = frozenset({1044, 1142, 1143, 1227})
_PASSING = frozenset({1205, 1213, 1226, 1317, 1969, 3024})
_MISSING = frozenset({1396})
_CANNOT_RETAIN = frozenset({3878, 3894, 3895})
_READ_ONLY = frozenset({1290, 3501})
_OLD_PASSWORD = frozenset({3891, 3892})
_LOST = frozenset({0, 2006, 2013})
"""0 is the client's own: a socket that broke, or that it had closed before."""
_ENDING = frozenset({1053, 1927, 4031})
"""A server that shuts down, or that ends the connection; a client seldom gets to read it."""
_SYNTAX = 1064
_POLICY, _HISTORY = 1819, 3638


def answer_of(name: str, username: str, exc: Exception) -> LoginProbe:
    """The probe for a failed login. Raises :class:`ConfigError` when it could not have succeeded."""
    code, words = code_of(exc)
    user = account_of(username, "%")
    if code in _MISCONFIGURED:
        raise ConfigError(f"{name}: {words}", hint=_MISCONFIGURED[code].format(user=user))
    cause = getattr(exc, "original_exception", exc)
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return LoginProbe(Answer.TLS_ERROR, words)
    if not isinstance(exc, pymysql.Error | OSError):
        words = "what it answers is not MySQL's protocol, or not a part of it that the driver knows"
    answer = _ANSWERS.get(code, Answer.UNREACHABLE)
    fix = _FIXES.get(code) or _FIXES.get(answer, "")
    return LoginProbe(answer, words, fix.replace("{user}", user))


def code_of(exc: Exception) -> tuple[int, str]:
    """The server's number and words; 0 where the client raised the error."""
    code: Any = exc.args[0] if exc.args else 0
    words = str(exc.args[1]) if len(exc.args) > 1 else str(exc)
    return (code if isinstance(code, int) else 0), words


def error_of(name: str, exc: Exception, *passwords: str) -> Error:
    """The error for a statement that failed. ``passwords`` are what must not be in it.

    A syntax error quotes the statement, perhaps no more than a part of the password: its words are left out.
    """
    code, words = code_of(exc)
    quotes = code == _SYNTAX or any(password and password in words for password in passwords)
    text = f"{name}: error {code}" + ("" if quotes else f": {words}")
    if code in _DENIED:
        return Denied(text, hint=_RIGHTS)
    if code in _MISSING:
        return NotFound(text)
    if code in _CANNOT_RETAIN:
        return Unsupported(text)
    if code in _OLD_PASSWORD:
        hint = "log in with the newest password, or let an administrator (admin) set it"
        return Denied(text, hint=hint)
    if code in _READ_ONLY and "read" in words:
        return ConfigError(f"{name} only reads", hint="name the writer's host, not a replica's")
    if code == _HISTORY or (code == _POLICY and "reuse" in words):
        return PasswordRefused(text, RefusalReason.REUSE)
    if code == _POLICY:
        return PasswordRefused(
            text, RefusalReason.POLICY, hint="a password validation plugin of the server refused it"
        )
    if code in _PASSING:
        return Transient(text)
    return Unreachable(text) if code in _LOST | _ENDING else Error(text)


def change_error(name: str, exc: Exception, *passwords: str) -> Error:
    """The same for a change: where the connection was lost, nobody knows whether it was made."""
    error = error_of(name, exc, *passwords)
    if isinstance(error, Unreachable):
        return OutcomeUnknown(f"{error.message}; whether the password was changed is not known")
    return error


_RIGHTS = (
    "the administrator needs GRANT CREATE USER ON *.* and GRANT SELECT ON mysql.*; an account that changes its own "
    "password and keeps the old one needs GRANT APPLICATION_PASSWORD_ADMIN ON *.* (MySQL)"
)

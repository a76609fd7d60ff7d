"""What PostgreSQL's refusals mean.

SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html. libpq keeps to itself the SQLSTATE of a
login that failed, so those are told by their words, which are English unless ``lc_messages`` says otherwise; what
is not understood counts as unreachable, never as a wrong password.
"""

from __future__ import annotations

import re

from keepstep.databases.errors import OutcomeUnknown, PasswordRefused, RefusalReason, Unreachable
from keepstep.databases.interface import Answer, LoginProbe
from keepstep.errors import ConfigError, Denied, Error, NotFound, Transient

_ANSWERS = (
    (r"password authentication failed for user", Answer.REJECT),
    (r"is not permitted to log in", Answer.LOCKED),
    # The password has been found right before these are asked; "too many clients" is asked before it.
    (
        r"permission denied for database|too many connections for role|too many connections for database"
        r"|remaining connection slots are reserved",
        Answer.ACCEPT,
    ),
    (r"certificate verify failed|server certificate for|SSL error|does not support SSL", Answer.TLS_ERROR),
)
_MISCONFIGURED = {
    r"database \".*\" does not exist": "check the database's name",
    r"root certificate file .* does not exist|could not read root certificate file": (
        "ca is the path of a PEM file with the authority that signed the server's certificate"
    ),
    r"no pg_hba\.conf entry|pg_hba\.conf rejects": "let this host in, for this user and database, in pg_hba.conf",
    r"is not currently accepting connections": "ALTER DATABASE … ALLOW_CONNECTIONS true",
    r"requires a valid client certificate": (
        "keepstep has no client certificate: use scram-sha-256 for it in pg_hba.conf, without clientcert"
    ),
    r"authentication method requirement .* failed|(?<!password) authentication failed for user": (
        "a login proves something only where PostgreSQL asks for its own password: say scram-sha-256 in pg_hba.conf"
    ),
}
_FIXES = {
    Answer.LOCKED: "ALTER ROLE {user} LOGIN",
}


def answer_of(name: str, username: str, message: str) -> LoginProbe:
    """The probe for a failed login. Raises :class:`ConfigError` when it could not have succeeded.

    A host with several addresses has a line for each that was tried.
    """
    reasons = [_reason(line) for line in message.strip().splitlines()]
    for pattern, hint in _MISCONFIGURED.items():
        if found := _first(pattern, reasons):
            raise ConfigError(f"{name}: {found}", hint=hint)
    for pattern, answer in _ANSWERS:
        if found := _first(pattern, reasons):
            quoted = username.replace('"', '""')
            return LoginProbe(answer, found, _FIXES.get(answer, "").replace("{user}", f'"{quoted}"'))
    return LoginProbe(Answer.UNREACHABLE, reasons[0])


def _first(pattern: str, reasons: list[str]) -> str | None:
    return next((reason for reason in reasons if re.search(pattern, reason)), None)


def _reason(line: str) -> str:
    """The words alone, without where the attempt went."""
    return re.sub(r"^.*? failed: ", "", line.replace("connection failed: ", "")).removeprefix("FATAL:").strip()


def error_of(name: str, sqlstate: str | None, message: str) -> Error:
    """The error for a statement that failed. No statement of ours holds a password, so the words may be shown."""
    text = f"{name}: {message}"
    match sqlstate or "08000":
        case "42501":
            return Denied(text, hint=_RIGHTS)
        case "42704":
            return NotFound(text)
        case "25006":
            return ConfigError(f"{name} only reads", hint="name the writer's host, not a replica's")
        case "22023":
            return PasswordRefused(text, RefusalReason.POLICY, hint="a policy module of the server refused it")
        case state if state[:2] in ("08", "57") and state != "57014":
            return Unreachable(text)
        case state if state in ("57014", "XX000") or state[:2] in ("40", "53", "55"):
            return Transient(text)
        case _:
            return Error(text)


def change_error(name: str, sqlstate: str | None, message: str) -> Error:
    """The same for a change: where the connection was lost, nobody knows whether it was made."""
    error = error_of(name, sqlstate, message)
    if isinstance(error, Unreachable):
        return OutcomeUnknown(f"{error.message}; whether the password was changed is not known")
    return error


_RIGHTS = (
    "the administrator needs CREATEROLE, from PostgreSQL 16 on also GRANT <user> TO <administrator> WITH ADMIN "
    "OPTION; on RDS with rds.restrict_password_commands GRANT rds_password TO <administrator>"
)

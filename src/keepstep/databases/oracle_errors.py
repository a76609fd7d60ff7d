"""What Oracle's refusals mean.

ORA-: https://docs.oracle.com/en/error-help/db/ . DPY-: python-oracledb's own.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import oracledb

from keepstep.databases.errors import OutcomeUnknown, PasswordRefused, RefusalReason, Unreachable
from keepstep.databases.interface import Answer, LoginProbe
from keepstep.databases.oracle_names import identifier
from keepstep.errors import ConfigError, Denied, Error, NotFound, Transient, Unsupported

_ANSWERS = {
    "ORA-01017": Answer.REJECT,
    "ORA-01005": Answer.REJECT,
    "ORA-28000": Answer.LOCKED,
    # These are told to somebody who knows the password.
    "ORA-28001": Answer.EXPIRED,
    "ORA-01045": Answer.ACCEPT,
    "DPY-6002": Answer.TLS_ERROR,
    "DPY-6006": Answer.TLS_ERROR,
}
_FIXES = {
    "ORA-28001": 'ALTER USER {user} IDENTIFIED BY "…"',
    "ORA-28000": "ALTER USER {user} ACCOUNT UNLOCK",
    "ORA-01045": "GRANT CREATE SESSION TO {user}",
}
_NO_NAME = "the name is in no tnsnames.ora: give the wallet that has it, or host, port and service"
_MISCONFIGURED = {
    "DPY-3015": "the user has an old kind of password: an administrator has to set it once",
    "DPY-4000": _NO_NAME,
    "DPY-4026": _NO_NAME,
    "DPY-4027": _NO_NAME,
    "DPY-4017": "it is a connect descriptor in parentheses, or host:port/service",
    "DPY-4018": "it is a connect descriptor in parentheses, or host:port/service",
}
_POLICY = frozenset({"ORA-28003", "ORA-00988", "ORA-28218", "ORA-28219", "ORA-01729"})
_REUSE = frozenset({"ORA-28007", "ORA-28008"})
_PASSING = frozenset({"ORA-00054", "ORA-00060", "ORA-04021", "ORA-00018", "ORA-00020", "ORA-01013"})
_LOST = (
    "ORA-00028 ORA-00600 ORA-01012 ORA-01033 ORA-01034 ORA-01089 ORA-01092 ORA-02396 ORA-03113 ORA-03114 ORA-03135"
    " DPY-1001 DPY-4011 DPY-4024 DPY-6005"
).split()


def code_of(exc: BaseException) -> tuple[str, str]:
    """``ORA-01017`` or ``DPY-4011``, and the words; both empty for what is not an error of the driver's."""
    details: Any = exc.args[0] if exc.args else None
    code = str(getattr(details, "full_code", ""))
    lines = str(getattr(details, "message", "")).splitlines() or [""]
    return code, lines[0]


def answer_of(name: str, username: str, exc: BaseException) -> LoginProbe:
    """The probe for a failed login. Raises :class:`ConfigError` when it could not have succeeded.

    The driver wraps what went wrong: the innermost error says most.
    """
    errors = list(_causes(exc))
    for error in errors:
        code, words = code_of(error)
        if code in _MISCONFIGURED:
            raise ConfigError(f"{name}: {words}", hint=_MISCONFIGURED[code])
        if code in _ANSWERS:
            fix = _FIXES.get(code, "")
            return LoginProbe(_ANSWERS[code], words, fix.replace("{user}", identifier(username)) if fix else "")
        if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return LoginProbe(
                Answer.TLS_ERROR, getattr(error, "verify_message", None) or str(error.reason or error)
            )
    if not isinstance(errors[-1], oracledb.Error | OSError):
        return LoginProbe(
            Answer.UNREACHABLE, "its answer is not Oracle's protocol, or a part that the driver does not know"
        )
    return LoginProbe(Answer.UNREACHABLE, code_of(errors[-1])[1] or str(errors[-1]) or "it does not answer in time")


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc:
        yield exc
        exc = exc.__cause__ or exc.__context__


def error_of(name: str, exc: BaseException) -> Error:
    """The error for a statement that failed. Oracle's words do not quote the statement."""
    code, words = code_of(exc)
    text = f"{name}: {words}"
    if code in ("ORA-01031", "ORA-00942", "ORA-41900"):
        return Denied(text, hint=_RIGHTS)
    if "DBMS_LOCK" in words or code == "ORA-06550":
        return Denied(text, hint="GRANT EXECUTE ON SYS.DBMS_LOCK TO <administrator>")
    if code == "ORA-01918":
        return NotFound(text)
    if code == "ORA-16000":
        return ConfigError(f"{name} only reads", hint="name the primary database, not a standby")
    if code == "ORA-28227":
        return Unsupported(text)
    if code in _REUSE:
        return PasswordRefused(text, RefusalReason.REUSE)
    if code in _POLICY or "ORA-20000" <= code <= "ORA-20999":
        return PasswordRefused(text, RefusalReason.POLICY, hint="the user's profile has a PASSWORD_VERIFY_FUNCTION")
    if code in _PASSING:
        return Transient(text)
    if code in _LOST or not code:
        return Unreachable(text if code else f"{name}: the connection was lost")
    return Error(text)


def change_error(name: str, exc: BaseException) -> Error:
    """The same for a change: where the connection was lost, nobody knows whether it was made."""
    error = error_of(name, exc)
    if isinstance(error, Unreachable):
        return OutcomeUnknown(f"{error.message}; whether the password was changed is not known")
    return error


_RIGHTS = (
    "the administrator needs GRANT ALTER USER, and GRANT SELECT ON SYS.DBA_USERS, SYS.DBA_PROFILES and "
    "SYS.DBA_ROLE_PRIVS (ADMIN of an Autonomous Database has them)"
)

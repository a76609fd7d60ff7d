"""What servers' refusals mean: one row for each kind, as the databases say it."""

from __future__ import annotations

import pytest

from keepstep.databases import mysql_errors, oracle_errors, postgres_errors
from keepstep.databases.errors import OutcomeUnknown, PasswordRefused, RefusalReason, Unreachable
from keepstep.errors import ConfigError, Denied, Error, NotFound, Transient, Unsupported

POSTGRES = [
    ("42501", "permission denied to alter role", Denied),
    ("42704", 'role "x" does not exist', NotFound),
    ("25006", "cannot execute ALTER ROLE in a read-only transaction", ConfigError),
    ("22023", "password must not contain user name", PasswordRefused),
    ("57014", "canceling statement due to statement timeout", Transient),
    ("XX000", "tuple concurrently updated", Transient),
    ("40001", "could not serialize access", Transient),
    ("53300", "sorry, too many clients already", Transient),
    ("55P03", "could not obtain lock", Transient),
    ("57P01", "terminating connection due to administrator command", Unreachable),
    ("08006", "connection failure", Unreachable),
    (None, "server closed the connection unexpectedly", Unreachable),
    ("42601", "syntax error", Error),
]


@pytest.mark.parametrize(("state", "words", "kind"), POSTGRES)
def test_postgres(state: str | None, words: str, kind: type[Error]) -> None:
    """Each SQLSTATE is the error that says what the caller does next; a lost change has an unknown outcome."""
    assert type(postgres_errors.error_of("db", state, words)) is kind
    expected = OutcomeUnknown if kind is Unreachable else kind
    assert type(postgres_errors.change_error("db", state, words)) is expected


class Refusal(Exception):
    """As drivers raise them."""


MYSQL = [
    (1142, "SELECT command denied", Denied),
    (1227, "you need (at least one of) the CREATE USER privilege(s)", Denied),
    (1396, "Operation ALTER USER failed for 'x'@'%'", NotFound),
    (3878, "Empty password can not be retained as second password", Unsupported),
    (1290, "running with the --read-only option so it cannot execute this statement", ConfigError),
    (3501, "The ACL operation failed: errcode 165 - Table is read only", ConfigError),
    (3638, "Cannot use these credentials because they contradict the password history policy", PasswordRefused),
    (1819, "Your password does not satisfy the current policy requirements", PasswordRefused),
    (1205, "Lock wait timeout exceeded", Transient),
    (3024, "maximum statement execution time exceeded", Transient),
    (2013, "Lost connection to MySQL server during query", Unreachable),
    (2006, "MySQL server has gone away", Unreachable),
    (1053, "Server shutdown in progress", Unreachable),
    (1927, "Connection was killed", Unreachable),
    (4031, "The client was disconnected by the server because of inactivity", Unreachable),
    (1064, "syntax error near 'hunter2'", Error),
]


@pytest.mark.parametrize(("code", "words", "kind"), MYSQL)
def test_mysql(code: int, words: str, kind: type[Error]) -> None:
    """Each number is the error that says what the caller does next; a password in the words is not repeated."""
    error = mysql_errors.error_of("db", Refusal(code, words), "hunter2")
    assert type(error) is kind
    assert "hunter2" not in error.message
    expected = OutcomeUnknown if kind is Unreachable else kind
    assert type(mysql_errors.change_error("db", Refusal(code, words), "hunter2")) is expected


def test_what_quotes_a_part_of_the_password_is_not_shown() -> None:
    """A syntax error quotes the end of the statement, perhaps half of the password: its words are left out."""
    error = mysql_errors.error_of("db", Refusal(1064, "syntax error near 'ter2'"), "hun'ter2")
    assert error.message == "db: error 1064"


class Details:
    """As python-oracledb describes an error."""

    def __init__(self, code: str, words: str) -> None:
        self.full_code = code
        self.message = f"{code}: {words}\nHelp: https://…"


ORACLE = [
    ("ORA-01031", "insufficient privileges", Denied, None),
    ("ORA-00942", "table or view does not exist", Denied, None),
    ("ORA-06550", "PLS-00201: identifier 'SYS.DBMS_LOCK' must be declared", Denied, None),
    ("ORA-01918", "user 'X' does not exist", NotFound, None),
    ("ORA-16000", "database or pluggable database open for read-only access", ConfigError, None),
    ("ORA-28227", "Gradual password rollover is not supported for administrative users.", Unsupported, None),
    ("ORA-28007", "the password cannot be reused", PasswordRefused, RefusalReason.REUSE),
    ("ORA-28003", "password verification for the specified password failed", PasswordRefused, RefusalReason.POLICY),
    ("ORA-20001", "Password must contain at least 1 digit", PasswordRefused, RefusalReason.POLICY),
    ("ORA-00054", "resource busy", Transient, None),
    ("ORA-03113", "end-of-file on communication channel", Unreachable, None),
    ("DPY-4011", "the database or network closed the connection", Unreachable, None),
    ("DPY-4024", "call timeout of 20000 ms exceeded", Unreachable, None),
    ("", "", Unreachable, None),
    ("ORA-00900", "invalid SQL statement", Error, None),
]


@pytest.mark.parametrize(("code", "words", "kind", "reason"), ORACLE)
def test_oracle(code: str, words: str, kind: type[Error], reason: RefusalReason | None) -> None:
    """Each code is the error that says what the caller does next; reuse and policy are told apart."""
    failure = Refusal(Details(code, words)) if code else TimeoutError()
    error = oracle_errors.error_of("db", failure)
    assert type(error) is kind
    assert getattr(error, "reason", None) is reason
    assert "Help:" not in error.message
    expected = OutcomeUnknown if kind is Unreachable else kind
    assert type(oracle_errors.change_error("db", failure)) is expected


def test_denied_says_what_to_grant() -> None:
    """A right that is missing is named, so that it can be granted."""
    hints = [
        postgres_errors.error_of("db", "42501", "no").hint,
        mysql_errors.error_of("db", Refusal(1227, "no")).hint,
        oracle_errors.error_of("db", Refusal(Details("ORA-01031", "no"))).hint,
        oracle_errors.error_of("db", Refusal(Details("ORA-06550", "DBMS_LOCK"))).hint,
    ]
    assert all("GRANT" in (hint or "") for hint in hints)
    assert "DBMS_LOCK" in (hints[-1] or "")

"""A server that speaks Oracle Net over TLS and keeps Oracle's documented rules, for the real thin driver.

It proves the client's side: logins, statements, TLS, wallets, what refusals mean. It is no Oracle.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keepstep.databases.endpoint import Endpoint
from keepstep.databases.engines import Engine
from keepstep.databases.interface import Login
from keepstep.secret import Secret
from tests.database_servers import oracle_wire as wire
from tests.database_servers.certificates import Authority
from tests.database_servers.documented import ADMINISTRATOR, administrator
from tests.database_servers.listener import exactly, listening, server_context
from tests.database_servers.oracle_rules import OraError, User, Users

ADMIN = Login(ADMINISTRATOR, Secret("admin-Passw0rd-of-ora"))
SERVICE = "app_high.adb.example.com"


@dataclass
class OracleServer:
    endpoint: Endpoint
    users: Users
    statements: list[str] = field(default_factory=list)
    """As they arrived."""
    version: tuple[int, int] = (19, 12)
    role: str = "PRIMARY"
    """As Data Guard has it."""
    admin: Login = ADMIN

    def add_user(self, username: str, password: str, **limits: object) -> None:
        self.users.add(username, password, **limits)


@contextlib.contextmanager
def oracle(
    folder: Path, authority: Authority, *, port: int = 0, now: Callable[[], float] = time.time, mutual: bool = False
) -> Iterator[OracleServer]:
    """Serves the service :data:`SERVICE`; with ``mutual`` its clients need a certificate of the authority's."""
    context = server_context(authority.issue())
    ca = authority.write(folder / "ca.pem")
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ca)
    server = OracleServer(Endpoint(Engine.ORACLE, "localhost", 1, SERVICE, str(ca)), Users(now))
    granted = privileges(administrator(Engine.ORACLE, ADMIN.password.reveal()))
    server.users.add(ADMIN.username, ADMIN.password.reveal(), rollover_days=0, privileges=granted)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            Conversation(server, secured).run()

    with listening(serve, port=port) as number:
        server.endpoint = Endpoint(Engine.ORACLE, "localhost", number, SERVICE, str(ca))
        yield server


class Conversation:
    """One connection."""

    def __init__(self, server: OracleServer, connection: socket.socket) -> None:
        self._server = server
        self._users = server.users
        self._connection = connection
        self._challenge = wire.Challenge()
        self._username = ""
        self._key = b""

    def run(self) -> None:
        try:
            if not self._connect():
                return
            while body := self._receive():
                self._answer(wire.Reader(body))
        finally:
            with self._users.lock:
                locks = self._users.locks
                self._users.locks = {number: holder for number, holder in locks.items() if holder is not self}

    def _connect(self) -> bool:
        kind, body = self._packet(is_large=False)
        size = int.from_bytes(body[16:18], "big")
        text = body[66 : 66 + size] or self._packet(is_large=False)[1][2:]
        if f"SERVICE_NAME={SERVICE}".encode() not in text:
            self._connection.sendall(wire.refuse(12514))
            return False
        self._connection.sendall(wire.accept())
        return kind == wire.CONNECT

    def _packet(self, *, is_large: bool = True) -> tuple[int, bytes]:
        head = exactly(self._connection, 8)
        size = int.from_bytes(head[: 4 if is_large else 2], "big")
        return head[4], exactly(self._connection, size - 8)

    def _receive(self) -> bytes:
        """The next message; nothing when the client says goodbye."""
        while True:
            kind, body = self._packet()
            if kind == wire.DATA:
                return body[2:]

    def _send(self, message: bytes) -> None:
        self._connection.sendall(wire.packet(wire.DATA, bytes(2) + message))

    def _answer(self, message: wire.Reader) -> None:
        kind = message.byte()
        if kind == wire.PROTOCOL:
            self._send(wire.protocol())
        elif kind == wire.DATA_TYPES:
            self._send(wire.data_types())
        elif kind == wire.PIGGYBACK:
            message.raw(3)
            for _ in range(message.number()):
                message.number()
            self._answer(message)
        else:
            function, _ = message.byte(), message.byte()
            self._call(function, message)

    def _call(self, function: int, message: wire.Reader) -> None:
        try:
            with self._users.lock:
                reply = self._reply(function, message)
        except OraError as exc:
            reply = wire.error(exc.number, str(exc))
        self._send(reply)

    def _reply(self, function: int, message: wire.Reader) -> bytes:
        match function:
            case wire.AUTH_ONE:
                self._username = self._credentials(message)[0]
                return self._challenge.parameters()
            case wire.AUTH_TWO:
                username, sent = self._credentials(message)
                return self._change(sent) if self._key else self._log_in(username, sent)
            case wire.EXECUTE:
                return self._execute(_statement(message))
            case _:
                return wire.status()

    def _credentials(self, message: wire.Reader) -> tuple[str, dict[str, str]]:
        has_user, _, _ = message.byte(), message.number(), message.number()
        message.byte()
        count = message.number()
        message.raw(2)
        name = message.counted().decode() if has_user else ""
        return (name[1:-1] if name.startswith('"') else name.upper()), message.pairs(count)

    def _log_in(self, username: str, sent: dict[str, str]) -> bytes:
        for password in self._users.candidates(username):
            if key := self._challenge.session_key(password, sent):
                self._key = key
                self._users.logged_in(username)
                return self._welcome()
        raise self._users.failed(username)

    def _welcome(self) -> bytes:
        release = self._server.version
        proof = wire.encrypt(self._key, bytes(16) + b"SERVER_TO_CLIENT")
        values = {
            "AUTH_SVR_RESPONSE": proof.hex().upper(),
            "AUTH_VERSION_NO": str(release[0] << 24 | release[1] << 16),
            "AUTH_SESSION_ID": "1",
            "AUTH_SERIAL_NUM": "1",
        }
        return wire.parameters({key: (value, 0) for key, value in values.items()})

    def _change(self, sent: dict[str, str]) -> bytes:
        old, new = (wire.password_in(self._key, sent[name]) for name in ("AUTH_PASSWORD", "AUTH_NEWPASSWORD"))
        if old not in self._users.candidates(self._username):
            raise self._users.failed(self._username)
        self._users.change(self._username, new or "")
        return wire.parameters({})

    def _execute(self, sql: str) -> bytes:
        self._server.statements.append(sql)
        self._need_views(sql)
        for pattern, run in _STATEMENTS.items():
            if found := re.search(pattern, sql, re.DOTALL):
                return run(self, found)
        raise OraError(900, "invalid SQL statement")

    # statements

    def alter(self, found: re.Match[str]) -> bytes:
        self._need("ALTER USER", 1031, "insufficient privileges")
        self._users.change(found[1], found[2])
        return wire.error(0)

    def expire(self, found: re.Match[str]) -> bytes:
        self._need("ALTER USER", 1031, "insufficient privileges")
        self._users.expire_rollover(found[1])
        return wire.error(0)

    def request(self, found: re.Match[str]) -> bytes:
        missing = "line 3, column 6:\nPLS-00201: identifier 'SYS.DBMS_LOCK' must be declared"
        self._need("EXECUTE ON SYS.DBMS_LOCK", 6550, missing)
        if self._users.locks.setdefault(int(found[1]), self) is not self:
            raise OraError(20990, "held by another session")
        return wire.error(0)

    def account(self, found: re.Match[str]) -> bytes:
        user = self._users.users.get(_unquoted(found[1]))
        age = str(self._users.now() - user.changed) if user else None
        return _table([[self._users.status(user), age, "PASSWORD", "APP_PROFILE"]] if user else [], 4)

    def own_account(self, found: re.Match[str]) -> bytes:
        return _table([[self._users.status(self._me), None, "PASSWORD", None]], 4)

    def limits(self, found: re.Match[str]) -> bytes:
        user = self._users.users.get(_unquoted(found[1]))
        return _table(_limits(user) if user else [], 2)

    def own_limits(self, found: re.Match[str]) -> bytes:
        return _table(_limits(self._me), 2)

    def roles(self, found: re.Match[str]) -> bytes:
        user = self._users.users.get(_unquoted(found[1]))
        return _table(_roles(user) if user else [], 3)

    def own_roles(self, found: re.Match[str]) -> bytes:
        return _table(_roles(self._me), 3)

    def session_privileges(self, found: re.Match[str]) -> bytes:
        return _table([[right] for right in sorted(self._me.privileges) if " ON " not in right], 1)

    def standing(self, found: re.Match[str]) -> bytes:
        return _table([[self._server.role, str(int("EXECUTE ON SYS.DBMS_LOCK" in self._me.privileges))]], 2)

    def rights(self, found: re.Match[str]) -> bytes:
        """Rights that roles or everybody have are none here."""
        user = self._users.users[_unquoted(found[2])]
        if found[1] == "sys":
            return _table([[right, "NO"] for right in sorted(user.privileges) if " ON " not in right], 2)
        return _table(list(user.objects if found[1] == "tab" else user.columns), 5)

    @property
    def _me(self) -> User:
        return self._users.users[self._username]

    def _need(self, right: str, number: int, words: str) -> None:
        if right not in self._me.privileges:
            raise OraError(number, words)

    def _need_views(self, sql: str) -> None:
        for view in re.findall(r"FROM sys\.(\w+)|JOIN sys\.(\w+)", sql):
            self._need(f"SELECT ON SYS.{''.join(view).upper()}", 942, "table or view does not exist")


def privileges(statements: Sequence[str]) -> frozenset[str]:
    """What GRANT statements give."""
    found = [re.fullmatch(r"GRANT (.+?)( ON \S+)? TO \w+", statement) for statement in statements]
    return frozenset(right + (each[2] or "") for each in found if each for right in each[1].split(", "))


def _limits(user: User) -> list[list[str]]:
    return [
        ["PASSWORD_ROLLOVER_TIME", str(user.rollover_days)],
        ["FAILED_LOGIN_ATTEMPTS", str(user.failures_allowed)],
        ["PASSWORD_VERIFY_FUNCTION", "CLOUD_VERIFY_FUNCTION"],
    ]


def _roles(user: User) -> list[list[str]]:
    defaults = user.roles if user.default_roles is None else user.default_roles
    return [[role, "YES" if role in defaults else "NO", "NO"] for role in user.roles]


def _table(rows: Sequence[Sequence[str | None]], width: int) -> bytes:
    return wire.table([f"C{number}" for number in range(width)], rows)


def _unquoted(literal: str) -> str:
    return literal.replace("''", "'")


_NAME = r"'((?:[^']|'')*)'"
_STATEMENTS: dict[str, Callable[[Conversation, re.Match[str]], bytes]] = {
    r'^ALTER USER "([^"]+)" IDENTIFIED BY "([^"]*)"$': Conversation.alter,
    r'^ALTER USER "([^"]+)" EXPIRE PASSWORD ROLLOVER PERIOD$': Conversation.expire,
    r"DBMS_LOCK\.REQUEST\((\d+), SYS\.DBMS_LOCK\.X_MODE, 0, FALSE\)": Conversation.request,
    rf"FROM sys\.dba_users u\s+JOIN sys\.dba_profiles .*WHERE u\.username = {_NAME}": Conversation.limits,
    rf"FROM sys\.dba_users u\s+WHERE u\.username = {_NAME}": Conversation.account,
    r"FROM user_users u": Conversation.own_account,
    r"FROM user_password_limits": Conversation.own_limits,
    rf"FROM sys\.dba_(sys|tab|col)_privs g WHERE g\.grantee IN \({_NAME}": Conversation.rights,
    rf"FROM sys\.dba_role_privs r WHERE r\.grantee = {_NAME}": Conversation.roles,
    r"FROM user_role_privs": Conversation.own_roles,
    r"FROM session_privs": Conversation.session_privileges,
    r"FROM all_procedures": Conversation.standing,
}


_FIELDS = "nnbnbnbbnnnbnbbbbbbnnbbbnbnnbnbbnbnbbn"
"""What stands before the SQL in an execute message of 19c: numbers and single bytes."""


def _statement(message: wire.Reader) -> str:
    for kind in _FIELDS:
        message.number() if kind == "n" else message.byte()
    return message.counted().decode()

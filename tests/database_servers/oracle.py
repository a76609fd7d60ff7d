"""A server that speaks Oracle Net over TLS and keeps Oracle's documented rules, for the real thin driver.

It proves the client's side: logins, statements, TLS, wallets, what refusals mean. It is no Oracle.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from keepstep.databases.endpoint import Endpoint
from keepstep.databases.interface import Engine, Login
from keepstep.secret import Secret
from tests.database_servers import oracle_wire as wire
from tests.database_servers.certificates import Authority
from tests.database_servers.documented import ADMINISTRATOR
from tests.database_servers.listener import exactly, listening, server_context
from tests.database_servers.oracle_rules import OraError, Users

ADMIN = Login(ADMINISTRATOR, Secret("admin-Passw0rd-of-ora"))
SERVICE = "app_high.adb.example.com"


@dataclass
class OracleServer:
    endpoint: Endpoint
    users: Users
    statements: list[str] = field(default_factory=list)
    """As they arrived."""
    version: tuple[int, int] = (19, 12)
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
    server.users.add(ADMIN.username, ADMIN.password.reveal(), rollover_days=0, is_admin=True)

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
        for pattern, run in _STATEMENTS.items():
            if found := re.search(pattern, sql, re.DOTALL):
                return run(self, found)
        raise OraError(900, "invalid SQL statement")

    # statements

    def alter(self, found: re.Match[str]) -> bytes:
        self._need_admin(found[1])
        self._users.change(found[1], found[2])
        return wire.error(0)

    def expire(self, found: re.Match[str]) -> bytes:
        self._need_admin(found[1])
        self._users.expire_rollover(found[1])
        return wire.error(0)

    def request(self, found: re.Match[str]) -> bytes:
        if self._users.locks.setdefault(int(found[1]), self) is not self:
            raise OraError(20990, "held by another session")
        return wire.error(0)

    def account(self, found: re.Match[str]) -> bytes:
        if not self._users.users[self._username].is_admin:
            raise OraError(942, "table or view does not exist")
        user = self._users.users.get(found[1].replace("''", "'"))
        if user is None:
            return wire.table(["A", "B", "C", "D"], [])
        age = str(self._users.now() - user.changed)
        row = [self._users.status(user), age, str(user.rollover_days), str(user.failures_allowed)]
        return wire.table(["A", "B", "C", "D"], [row])

    def own_account(self, found: re.Match[str]) -> bytes:
        user = self._users.users[self._username]
        row = [self._users.status(user), None, str(user.rollover_days), str(user.failures_allowed)]
        return wire.table(["A", "B", "C", "D"], [row])

    def roles(self, found: re.Match[str]) -> bytes:
        user = self._users.users.get(found[1].replace("''", "'"))
        return wire.table(["ROLE"], [[role] for role in (user.roles if user else ())])

    def own_roles(self, found: re.Match[str]) -> bytes:
        return wire.table(["ROLE"], [[role] for role in self._users.users[self._username].roles])

    def _need_admin(self, username: str) -> None:
        if not self._users.users[self._username].is_admin:
            raise OraError(1031, "insufficient privileges")


_STATEMENTS: dict[str, Callable[[Conversation, re.Match[str]], bytes]] = {
    r'^ALTER USER "([^"]+)" IDENTIFIED BY "([^"]*)"$': Conversation.alter,
    r'^ALTER USER "([^"]+)" EXPIRE PASSWORD ROLLOVER PERIOD$': Conversation.expire,
    r"DBMS_LOCK\.REQUEST\((\d+), SYS\.DBMS_LOCK\.X_MODE, 0, FALSE\)": Conversation.request,
    r"FROM sys\.dba_users.*WHERE u\.username = '((?:[^']|'')*)'": Conversation.account,
    r"FROM user_users": Conversation.own_account,
    r"FROM sys\.dba_role_privs WHERE grantee = '((?:[^']|'')*)'": Conversation.roles,
    r"FROM user_role_privs": Conversation.own_roles,
}


_FIELDS = "nnbnbnbbnnnbnbbbbbbnnbbbnbnnbnbbnbnbbn"
"""What stands before the SQL in an execute message of 19c: numbers and single bytes."""


def _statement(message: wire.Reader) -> str:
    for kind in _FIELDS:
        message.number() if kind == "n" else message.byte()
    return message.counted().decode()

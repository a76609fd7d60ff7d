"""A server that speaks MySQL's protocol over TLS and keeps MySQL 8's documented rules, for the real driver.

It proves the client's side of dual passwords, which MariaDB has not. It is no MySQL.
Source: MySQL Source Code Documentation, "Client/Server Protocol".
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keepstep.databases.endpoint import Endpoint
from keepstep.databases.interface import Engine, Login
from keepstep.secret import Secret
from tests.database_servers.certificates import Authority
from tests.database_servers.listener import exactly, listening, server_context
from tests.database_servers.mysql8_rules import MysqlError, User, Users

ADMIN = Login("admin", Secret("admin-Passw0rd-of-mysql8"))
VERSION = "8.0.36"

_PLUGIN = b"mysql_native_password"
_CAPABILITIES = 0x000FFFFF | 0x00200000  # all of 4.1's, plugin authentication, TLS; length-encoded auth data
_CLIENT_SSL = 0x0800
_HANDSHAKE, _QUERY, _QUIT, _PING = 0x0A, 0x03, 0x01, 0x0E


@dataclass
class Mysql8Server:
    endpoint: Endpoint
    users: Users
    statements: list[str] = field(default_factory=list)
    """As they arrived."""
    version: str = VERSION
    offers_tls: bool = True
    admin: Login = ADMIN

    def add_user(self, username: str, password: str, host: str = "%", **limits: object) -> None:
        self.users.add(username, password, host, **limits)


@contextlib.contextmanager
def mysql8(folder: Path, authority: Authority, *, port: int = 0) -> Iterator[Mysql8Server]:
    """Serves the database ``app`` until the block ends."""
    context = server_context(authority.issue())
    ca = authority.write(folder / "ca.pem")
    server = Mysql8Server(Endpoint(Engine.MYSQL, "localhost", 1, "app", str(ca)), Users())
    server.users.add(ADMIN.username, ADMIN.password.reveal(), is_admin=True, may_retain=True)

    def serve(connection: socket.socket) -> None:
        conversation = Conversation(server, connection)
        conversation.greet()
        if server.offers_tls and conversation.wants_tls():
            with context.wrap_socket(connection, server_side=True) as secured:
                conversation.run(secured)

    with listening(serve, port=port) as number:
        server.endpoint = Endpoint(Engine.MYSQL, "localhost", number, "app", str(ca))
        yield server


class Conversation:
    """One connection."""

    def __init__(self, server: Mysql8Server, connection: socket.socket) -> None:
        self._server = server
        self._users = server.users
        self._connection = connection
        self._scramble = bytes(1 + byte % 127 for byte in secrets.token_bytes(20))
        self._sequence = 0
        self._user: User | None = None
        self._name = ""

    def greet(self) -> None:
        capabilities = _CAPABILITIES if self._server.offers_tls else _CAPABILITIES & ~_CLIENT_SSL
        low, high = (capabilities & 0xFFFF).to_bytes(2, "little"), (capabilities >> 16).to_bytes(2, "little")
        head = bytes([_HANDSHAKE]) + self._server.version.encode() + b"\0" + (7).to_bytes(4, "little")
        rest = low + b"\xff" + (2).to_bytes(2, "little") + high + bytes([21]) + bytes(10)
        self._send(head + self._scramble[:8] + b"\0" + rest + self._scramble[8:] + b"\0" + _PLUGIN + b"\0")

    def wants_tls(self) -> bool:
        return bool(int.from_bytes(self._receive()[:4], "little") & _CLIENT_SSL)

    def run(self, connection: socket.socket) -> None:
        self._connection = connection
        try:
            with contextlib.suppress(MysqlError):
                self._guarded(self._log_in)
                self._serve()
        finally:
            locks = self._users.locks
            self._users.locks = {name: holder for name, holder in locks.items() if holder is not self}

    def _serve(self) -> None:
        while (command := self._receive())[0] != _QUIT:
            with contextlib.suppress(MysqlError):
                self._guarded(lambda: self._answer(command))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            with self._users.lock:
                work()
        except MysqlError as exc:
            self._send(b"\xff" + exc.number.to_bytes(2, "little") + b"#HY000" + str(exc).encode())
            raise

    def _log_in(self) -> None:
        body = self._receive()[32:]
        name, _, rest = body.partition(b"\0")
        proof = rest[1 : 1 + rest[0]]
        database = rest[1 + rest[0] :].split(b"\0")[0] if rest[1 + rest[0] :] else b""
        self._name = name.decode()
        self._user = self._users.log_in(self._name, self._scramble, proof)
        if database not in (b"", b"app", _PLUGIN):
            raise MysqlError(1049, f"Unknown database '{database.decode()}'")
        self._ok()

    def _answer(self, command: bytes) -> None:
        if command[0] == _PING:
            return self._ok()
        statement = command[1:].decode()
        self._server.statements.append(statement)
        for pattern, run in _STATEMENTS.items():
            if found := re.search(pattern, statement, re.DOTALL):
                return run(self, found)
        raise MysqlError(1064, f"You have an error in your SQL syntax near '{statement[:80]}' at line 1")

    # statements

    def accept(self, found: re.Match[str]) -> None:
        self._ok()

    def get_lock(self, found: re.Match[str]) -> None:
        self._table(["l"], [[int(self._users.locks.setdefault(found[1], self) is self)]])

    def accounts(self, found: re.Match[str]) -> None:
        self._need(self._me.is_admin, 1142, "SELECT command denied")
        rows = [
            [host, "Y" if user.is_locked else "N", int(user.secondary is not None), str(user.failures_allowed)]
            for (name, host), user in self._users.users.items()
            if name == found[1]
        ]
        self._table(["a", "b", "c", "d"], rows)

    def roles(self, found: re.Match[str]) -> None:
        users = [user for (name, _), user in self._users.users.items() if name == found[1]]
        self._table(["a", "b"], [[role, 1] for user in users[:1] for role in user.roles])

    def alter_self(self, found: re.Match[str]) -> None:
        self._need(self._me.may_retain or not found[2], 1227, "Access denied; you need APPLICATION_PASSWORD_ADMIN")
        self._users.change([(self._name, self._users.hosts(self._name)[0], _unquoted(found[1]), bool(found[2]))])
        self._ok()

    def discard_own(self, found: re.Match[str]) -> None:
        self._need(self._me.may_retain, 1227, "Access denied; you need APPLICATION_PASSWORD_ADMIN")
        self._users.discard([(self._name, self._users.hosts(self._name)[0])])
        self._ok()

    def alter(self, found: re.Match[str]) -> None:
        self._need(
            self._me.is_admin, 1227, "Access denied; you need (at least one of) the CREATE USER privilege(s)"
        )
        changes = re.findall(rf"{_ACCOUNT} IDENTIFIED BY '((?:[^'\\]|\\.)*)'( RETAIN CURRENT PASSWORD)?", found[0])
        if changes:
            self._users.change([(name, host, _unquoted(new), bool(keeps)) for name, host, new, keeps in changes])
        else:
            self._users.discard(re.findall(rf"{_ACCOUNT} DISCARD OLD PASSWORD", found[0]))
        self._ok()

    @property
    def _me(self) -> User:
        assert self._user
        return self._user

    def _need(self, right: bool, number: int, words: str) -> None:
        if not right:
            raise MysqlError(number, words)

    # packets

    def _receive(self) -> bytes:
        head = exactly(self._connection, 4)
        self._sequence = head[3] + 1
        return exactly(self._connection, int.from_bytes(head[:3], "little"))

    def _send(self, body: bytes) -> None:
        head = len(body).to_bytes(3, "little") + bytes([self._sequence & 0xFF])
        self._sequence += 1
        self._connection.sendall(head + body)

    def _ok(self) -> None:
        self._send(b"\0\0\0" + (2).to_bytes(2, "little") + bytes(2))

    def _table(self, columns: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
        end = b"\xfe" + bytes(2) + (2).to_bytes(2, "little")
        self._send(bytes([len(columns)]))
        for position, name in enumerate(columns):
            kind = b"\x08" if rows and isinstance(rows[0][position], int) else b"\xfd"
            words = [b"def", b"", b"", b"", name.encode(), name.encode()]
            shape = b"\x0c" + (255).to_bytes(2, "little") + (1024).to_bytes(4, "little") + kind + bytes(5)
            self._send(b"".join(bytes([len(word)]) + word for word in words) + shape)
        self._send(end)
        for row in rows:
            cells = [str(cell).encode() for cell in row]
            self._send(b"".join(bytes([len(cell)]) + cell for cell in cells))
        self._send(end)


_ACCOUNT = r"'([^']*)'@'([^']*)'"
_STATEMENTS: dict[str, Callable[[Conversation, re.Match[str]], None]] = {
    r"^SET (NAMES|AUTOCOMMIT)": Conversation.accept,
    r"^SELECT GET_LOCK\('([^']*)', 0\)$": Conversation.get_lock,
    r"FROM mysql\.user WHERE User = '([^']*)'$": Conversation.accounts,
    r"FROM mysql\.role_edges .* WHERE e\.TO_USER = '([^']*)'$": Conversation.roles,
    r"^ALTER USER USER\(\) IDENTIFIED BY '((?:[^'\\]|\\.)*)'( RETAIN CURRENT PASSWORD)?$": Conversation.alter_self,
    r"^ALTER USER USER\(\) DISCARD OLD PASSWORD$": Conversation.discard_own,
    rf"^ALTER USER {_ACCOUNT} .*$": Conversation.alter,
}


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)

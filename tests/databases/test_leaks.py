"""F9: no password in a server's log, a process list, an error or anything that hangs on one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keepstep.databases.endpoint import Endpoint
from keepstep.databases.interface import Database, Login
from keepstep.errors import Error
from keepstep.secret import Secret
from tests.contract.database_backends import REMOTE, DatabaseBackend, fresh
from tests.contract.database_backends import database_ground as database_ground
from tests.database_servers.certificates import Authority
from tests.database_servers.mariadb import MariadbServer
from tests.database_servers.mysql import MysqlServer
from tests.database_servers.postgres import PostgresServer
from tests.database_servers.relay import Cut, relay

WORKER = """
import asyncio, json, logging, sys, traceback
from keepstep.databases.endpoint import Endpoint
from keepstep.databases.engines import Engine
from keepstep.databases.interface import Login
from keepstep.databases.mysql import MysqlDatabase
from keepstep.databases.postgres import PostgresDatabase
from keepstep.secret import Secret

logging.basicConfig(level=logging.DEBUG)
task = json.load(sys.stdin)
endpoint = Endpoint(Engine(task["engine"]), "localhost", task["port"], "app", task["ca"])
database = (PostgresDatabase if task["engine"] == "postgres" else MysqlDatabase)(endpoint)
admin = Login("keepstep_admin", Secret(task["admin"]))

async def tried(work):
    try:
        await work
    except Exception:
        traceback.print_exc()

async def main():
    await tried(database.probe(Login(task["user"], Secret(task["wrong"]))))
    async with database.session(admin) as session:
        for new in task["new"]:
            await session.set_password(task["user"], Secret(new))
            print(await database.probe(Login(task["user"], Secret(new))))
            await tried(session.set_password("nobody_at_all", Secret(new)))
    async with database.session(Login(task["user"], Secret(task["new"][-1]))) as session:
        await tried(session.set_password("keepstep_admin", Secret(task["wrong"])))
        await session.set_password(task["user"], Secret(task["own"]))
    await tried(database.session(Login(task["user"], Secret(task["wrong"]))).__aenter__())

asyncio.run(main())
"""


def command_lines() -> bytes:
    lines = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                lines.append((process / "cmdline").read_bytes() + (process / "comm").read_bytes())
            except OSError:
                continue
    return b"\n".join(lines)


def work(endpoint: Endpoint, admin: Login, user: Login) -> tuple[list[str], str]:
    """Changes passwords in a process of its own. The passwords used, and all that was printed or seen in /proc."""
    secrets = [fresh(word).reveal() for word in ("Leak-one", "Leak-two", "Leak-wrong", "Leak-own")]
    task = {
        "engine": endpoint.engine.value,
        "port": endpoint.port,
        "ca": endpoint.ca,
        "admin": admin.password.reveal(),
        "user": user.username,
        "new": secrets[:2],
        "wrong": secrets[2],
        "own": secrets[3],
    }
    seen: list[bytes] = []
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    watcher = threading.Thread(target=_watch, args=(process, seen))
    watcher.start()
    output, _ = process.communicate(json.dumps(task).encode(), timeout=120)
    watcher.join()
    text = output.decode()
    assert process.returncode == 0, text
    assert text.count("Answer.ACCEPT") == 2, text
    assert "Traceback" in text
    return [*secrets, admin.password.reveal()], text + b"\n".join(seen).decode(errors="replace")


def _watch(process: subprocess.Popen[bytes], seen: list[bytes]) -> None:
    while process.poll() is None:
        seen.append(command_lines())
        threading.Event().wait(0.05)


def held(secrets: list[str], places: dict[str, str]) -> list[str]:
    return [f"{name}: {secret}" for name, text in places.items() for secret in secrets if secret in text]


def test_postgres_writes_no_password_down(postgres_server: PostgresServer) -> None:
    """With log_statement=all and every message logged, PostgreSQL's log has each change and no password."""
    user = Login("leaky", fresh("Leak-first"))
    postgres_server.add_user(user.username, user.password.reveal())
    secrets, output = work(postgres_server.endpoint, postgres_server.admin, user)
    log = postgres_server.log.read_text()
    assert log.count(f'ALTER ROLE "{user.username}" PASSWORD \'SCRAM-SHA-256$') >= 3
    assert held(secrets, {"log": log, "output": output}) == []


def test_mariadb_writes_no_password_down(mariadb_server: MariadbServer) -> None:
    """With the general log and the binary log on, MariaDB's logs have each change and no password."""
    user = Login("leaky", fresh("Leak-first"))
    mariadb_server.add_user(user.username, user.password.reveal())
    secrets, output = work(mariadb_server.endpoint, mariadb_server.admin, user)
    general = mariadb_server.general_log.read_text(errors="replace")
    binary = "".join(
        path.read_bytes().decode("latin-1") for path in mariadb_server.general_log.parent.glob("bin.*")
    )
    changes = rf"ALTER USER '{user.username}'@'%' IDENTIFIED VIA mysql_native_password USING '\*"
    assert len(re.findall(changes, general)) == 2
    # The scene itself, not keepstep, tells the server the administrator's first password.
    assert held(secrets[:-1], {"general log": general, "binary log": binary}) == []
    assert held(secrets, {"output": output}) == []


def test_mysql_writes_no_password_down(mysql_server: MysqlServer) -> None:
    """With the general log and the binary log on, MySQL's logs have each change and no password."""
    user = Login("leaky", fresh("Leak-first"))
    mysql_server.add_user(user.username, user.password.reveal(), limits="PASSWORD REQUIRE CURRENT")
    secrets, output = work(mysql_server.endpoint, mysql_server.admin, user)
    general = mysql_server.general_log.read_text(errors="replace")
    folder = mysql_server.general_log.parent
    binary = "".join(path.read_bytes().decode("latin-1") for path in folder.glob("bin.*"))
    assert len(re.findall(rf"ALTER USER '{user.username}'@'%' IDENTIFIED", general)) >= 2
    assert held(secrets, {"general log": general, "binary log": binary, "output": output}) == []


def reachable(error: BaseException) -> Iterator[str]:
    """Everything that hangs on an error: its words, arguments and attributes, those of its causes too."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, Secret) or callable(value):
            continue
        seen.add(id(value))
        if isinstance(value, BaseException):
            waiting += [value.__cause__, value.__context__, *value.args, *vars(value).values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            waiting += value
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]
        yield repr(value)
        yield str(value)


def test_a_leak_would_be_found() -> None:
    """What looks for passwords in errors finds one that hangs on the cause of a cause."""
    try:
        try:
            raise ValueError({"dsn": ["password=hunter2"]})
        except ValueError as exc:
            raise Error("it failed") from exc
    except Error as exc:
        assert any("hunter2" in text for text in reachable(exc))


@pytest.mark.parametrize("database_ground", REMOTE, indirect=True)
def test_errors_hold_no_password(database_ground: DatabaseBackend, tmp_path: Path) -> None:
    """No error of any kind has a password in its words, its arguments, its attributes or its causes."""
    login, new = database_ground.user(), fresh()
    stranger = Authority("somebody else").write(tmp_path / "stranger.pem")
    errors: list[BaseException] = []

    async def caught(work: Any) -> None:
        try:
            await work
        except Error as exc:
            errors.append(exc)

    async def entered(database: Database, who: Login) -> None:
        async with database.session(who):
            pass

    async def probed(who: Login) -> None:
        await database_ground.at(ca="/no/such/file").probe(who)

    with relay(database_ground.endpoint.port) as (wire, port):

        async def main(database: Database) -> None:
            await caught(entered(database, Login(login.username, new)))
            await caught(entered(database_ground.at(ca=str(stranger)), login))
            await caught(entered(database_ground.at(host="no-such-host.invalid"), login))
            await caught(probed(login))
            async with database.session(login) as session:
                await caught(session.set_password("keepstep_admin", new))
            async with database.session(database_ground.admin) as session:
                await caught(session.set_password("nobody_at_all", new))
                weak = Secret(f"{new.reveal()}\" it's too weak" if "oracle" in database.name else login.username)
                await caught(session.set_password(login.username, weak))
            async with database_ground.at(port=port).session(database_ground.admin) as session:
                wire.cut = Cut.BEFORE
                await caught(session.set_password(login.username, new))

        with database_ground.with_policy():
            database_ground.run(main)
    assert len(errors) == 8
    secrets = [login.password, new, database_ground.admin.password]
    leaks = [
        (type(error), text[:200])
        for error in errors
        for text in reachable(error)
        for secret in secrets
        if secret.reveal() in text
    ]
    assert leaks == []

"""A real MySQL with TLS that logs every statement."""

from __future__ import annotations

import contextlib
import re
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepstep.databases.endpoint import Endpoint
from keepstep.databases.engines import Engine
from keepstep.databases.interface import Login
from keepstep.secret import Secret
from tests.database_servers.certificates import Authority
from tests.database_servers.documented import ADMINISTRATOR, administrator
from tests.database_servers.programs import MYSQL, Release, as_root
from tests.servers import free_port, running, wait_until

ROOT = Login("superuser", Secret("superuser-Passw0rd-of-mysql"))
ADMIN = Login(ADMINISTRATOR, Secret("admin-Passw0rd-of-mysql"))


@dataclass(frozen=True)
class MysqlServer:
    """A server of either kind; ``superuser`` sets scenes, ``admin`` has exactly the documented grants."""

    endpoint: Endpoint
    log: Path
    general_log: Path
    """Every statement as the server writes it down."""
    release: Release = MYSQL
    superuser: Login = ROOT
    admin: Login = ADMIN
    tls: bool = True

    def execute(self, statement: str, *, login: Login = ROOT, database: str | None = None) -> list[tuple[Any, ...]]:
        """Runs it by PyMySQL, as whoever sets a scene."""
        import pymysql

        connection = pymysql.connect(
            host=self.endpoint.host,
            port=self.endpoint.port,
            database=database,
            user=login.username,
            password=login.password.reveal(),
            ssl=ssl.create_default_context(cafile=self.endpoint.ca) if self.tls else None,
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def add_user(self, username: str, password: str, host: str = "%", *, limits: str = "") -> None:
        """A user that may do everything in the database ``app``; ``limits`` ends its CREATE USER."""
        self.execute(f"CREATE USER '{username}'@'{host}' IDENTIFIED BY '{password}' {limits}")
        self.execute(f"GRANT ALL ON app.* TO '{username}'@'{host}'")


@contextlib.contextmanager
def mysql(
    folder: Path, authority: Authority, *, port: int = 0, more: dict[str, Any] | None = None
) -> Iterator[MysqlServer]:
    """Serves the database ``app`` until the block ends; what ``folder`` holds from before is served again."""
    root = MYSQL.root
    where = {
        "basedir": root / "usr",
        "lc-messages-dir": root / "usr/share/mysql",
        "plugin-dir": root / "usr/lib/mysql/plugin",
        "character-sets-dir": root / "usr/share/mysql/charsets",
        "secure-file-priv": "NULL",
        "innodb-redo-log-capacity": "8M",
        "innodb-doublewrite": "OFF",
        "mysqlx": "OFF",
        "performance-schema": "OFF",
        "sync-binlog": "0",
    }

    def initialise(data: Path) -> None:
        _run([MYSQL.find(), *options(where), "--initialize-insecure", f"--datadir={data}"])

    settings = where | (more or {})
    with serving(folder, authority, MYSQL, Engine.MYSQL, settings, initialise, port) as (endpoint, data):
        yield MysqlServer(endpoint, folder / "server.log", data / "general.log")


@contextlib.contextmanager
def serving(
    folder: Path,
    authority: Authority,
    release: Release,
    engine: Engine,
    where: dict[str, Any],
    initialise: Any,
    port: int,
    *,
    tls: bool = True,
) -> Iterator[tuple[Endpoint, Path]]:
    """A server of either kind, when it takes logins: where it listens, and its data."""
    port = port or free_port()
    data, log, temporary = folder / "data", folder / "server.log", folder / "tmp"
    temporary.mkdir(exist_ok=True)  # a server that starts removes all it finds there, another server's too
    program, ca = release.find(), authority.write(folder / "ca.pem")
    if not data.exists():
        release.initialised(data, initialise)
        authority.issue().write(data)
    scene = folder / "init.sql"
    scene.write_text(";\n".join(_scene(engine)) + ";\n")
    endpoint = Endpoint(engine, "localhost", port, "app", str(ca))
    # Names of sockets have 107 bytes at the most, and pytest's folders are deep.
    with tempfile.TemporaryDirectory(prefix="keepstep-db-") as sockets:
        settings = {
            "datadir": data,
            "tmpdir": temporary,
            "port": port,
            "bind-address": "127.0.0.1",
            "socket": f"{sockets}/s",
            "pid-file": data / "pid",
            **(_tls(ca, data) if tls else {"skip-ssl": "ON"}),
            "general-log": "ON",
            "general-log-file": data / "general.log",
            "log-bin": data / "bin",
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-buffer-pool-size": "16M",
            "init-file": scene,
            **where,
        }
        server = MysqlServer(endpoint, log, data / "general.log", release, tls=tls)
        with running([program, *options(settings)], log=log, grace=20) as process:
            wait_until(lambda: _answers(server), process, timeout=60, log=log)
            yield endpoint, data


def _tls(ca: Path, data: Path) -> dict[str, Any]:
    files = {"ssl-ca": ca, "ssl-cert": data / "server.crt", "ssl-key": data / "server.key"}
    return files | {"require-secure-transport": "ON"}


def options(settings: dict[str, Any]) -> list[str]:
    return ["--no-defaults", *as_root(["--user=root"]), *(f"--{name}={value}" for name, value in settings.items())]


def _scene(engine: Engine) -> list[str]:
    """Done at every start, by the server itself."""
    name, password = ROOT.username, ROOT.password.reveal()
    return [
        "CREATE DATABASE IF NOT EXISTS app",
        f"CREATE USER IF NOT EXISTS '{name}'@'%' IDENTIFIED BY '{password}'",
        f"GRANT ALL ON *.* TO '{name}'@'%' WITH GRANT OPTION",
        *(
            re.sub("^CREATE USER ", "CREATE USER IF NOT EXISTS ", statement)
            for statement in administrator(engine, ADMIN.password.reveal())
        ),
    ]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, timeout=120)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).decode(errors="replace"))


def _answers(server: MysqlServer) -> bool:
    import pymysql

    with contextlib.suppress(pymysql.Error):
        return bool(server.execute("SELECT 1"))
    return False

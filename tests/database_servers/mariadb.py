"""A real MariaDB with TLS that logs every statement."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepstep.databases.endpoint import Endpoint
from keepstep.databases.interface import Engine, Login
from keepstep.secret import Secret
from tests.database_servers.certificates import Authority
from tests.servers import absent, free_port, running, wait_until

ADMIN = Login("admin", Secret("admin-Passw0rd-of-mariadb"))


@dataclass(frozen=True)
class MariadbServer:
    endpoint: Endpoint
    log: Path
    general_log: Path
    """Every statement as the server writes it down."""
    admin: Login = ADMIN

    def execute(
        self, statement: str, *, login: Login = ADMIN, database: str | None = None
    ) -> list[tuple[Any, ...]]:
        """Runs it by PyMySQL, as whoever sets a scene."""
        import pymysql

        connection = pymysql.connect(
            host=self.endpoint.host,
            port=self.endpoint.port,
            database=database,
            user=login.username,
            password=login.password.reveal(),
            ssl=ssl.create_default_context(cafile=self.endpoint.ca),
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def add_user(self, username: str, password: str, host: str = "%") -> None:
        self.execute(f"CREATE USER '{username}'@'{host}' IDENTIFIED BY '{password}'")
        self.execute(f"GRANT ALL ON app.* TO '{username}'@'{host}'")


@contextlib.contextmanager
def mariadb(folder: Path, authority: Authority, *, port: int = 0) -> Iterator[MariadbServer]:
    """Serves the database ``app`` until the block ends; what ``folder`` holds from before is served again."""
    port = port or free_port()
    data, log = folder / "data", folder / "mariadb.log"
    ca = authority.write(folder / "ca.pem")
    if not data.exists():
        _initialize(folder, data, authority)
    # Names of sockets have 107 bytes at the most, and pytest's folders are deep.
    with tempfile.TemporaryDirectory(prefix="keepstep-db-") as sockets:
        _own(Path(sockets))
        options = {
            "datadir": data,
            "tmpdir": _temporary(folder),
            "port": port,
            "bind-address": "127.0.0.1",
            "socket": f"{sockets}/s",
            "pid-file": folder / "data" / "pid",
            "ssl-ca": ca,
            "ssl-cert": data / "server.crt",
            "ssl-key": data / "server.key",
            "require-secure-transport": "ON",
            "general-log": "ON",
            "general-log-file": data / "general.log",
            "log-bin": data / "bin",
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-buffer-pool-size": "16M",
            "init-file": folder / "init.sql",
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        command = [_program("mariadbd"), "--no-defaults", *_user(), *words]
        server = MariadbServer(
            Endpoint(Engine.MARIADB, "localhost", port, "app", str(ca)), log, data / "general.log"
        )
        with running(command, log=log, grace=20) as process:
            wait_until(lambda: _answers(server), process, timeout=60, log=log)
            yield server


def _initialize(folder: Path, data: Path, authority: Authority) -> None:
    _own(folder)
    words = [
        "--no-defaults",
        f"--datadir={data}",
        f"--tmpdir={_temporary(folder)}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]
    done = subprocess.run([_program("mariadb-install-db"), *_user(), *words], capture_output=True, timeout=120)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).decode(errors="replace"))
    for path in authority.issue().write(data):
        _own(path)
    init = folder / "init.sql"
    init.write_text(
        "CREATE DATABASE IF NOT EXISTS app;\n"
        f"CREATE USER IF NOT EXISTS 'admin'@'%' IDENTIFIED BY '{ADMIN.password.reveal()}';\n"
        "GRANT ALL ON *.* TO 'admin'@'%' WITH GRANT OPTION;\n"
    )
    _own(init)


def _temporary(folder: Path) -> Path:
    """A folder for temporary tables: a server that starts removes all it finds there, another server's too."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    _own(temporary)
    return temporary


def _program(name: str) -> str:
    return shutil.which(name) or absent("MariaDB", "apt-get install mariadb-server")


def _user() -> list[str]:
    """MariaDB refuses to be root."""
    return ["--user=mysql"] if os.geteuid() == 0 else []


def _own(path: Path) -> None:
    if os.geteuid() != 0:
        return
    try:
        owner = pwd.getpwnam("mysql")
    except KeyError:
        absent("MariaDB", "apt-get install mariadb-server")
    os.chown(path, owner.pw_uid, owner.pw_gid)


def _answers(server: MariadbServer) -> bool:
    import pymysql

    with contextlib.suppress(pymysql.Error):
        return bool(server.execute("SELECT 1"))
    return False

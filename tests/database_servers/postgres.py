"""A real PostgreSQL with TLS that logs every statement."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from keepstep.databases.endpoint import Endpoint
from keepstep.databases.engines import Engine
from keepstep.databases.interface import Login
from keepstep.secret import Secret
from tests.database_servers.certificates import Authority
from tests.database_servers.documented import ADMINISTRATOR, administrator, for_each_user
from tests.database_servers.programs import POSTGRES, Release
from tests.servers import absent, free_port, program, running, wait_until

ROOT = Login("superuser", Secret("superuser-Passw0rd-of-postgres"))
ADMIN = Login(ADMINISTRATOR, Secret("admin-Passw0rd-of-postgres"))
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
ssl = on
ssl_ca_file = 'ca.pem'
fsync = off
log_statement = 'all'
log_connections = on
log_min_messages = 'debug1'
log_min_error_statement = 'debug1'
shared_preload_libraries = 'passwordcheck'
max_connections = 60
"""


@dataclass(frozen=True)
class PostgresServer:
    endpoint: Endpoint
    log: Path
    release: Release = POSTGRES
    superuser: Login = ROOT
    admin: Login = ADMIN

    def execute(self, statement: str, *, login: Login = ROOT) -> list[tuple[Any, ...]]:
        """Runs it by psycopg, as whoever sets a scene."""
        import psycopg

        with psycopg.connect(
            host=self.endpoint.host,
            port=self.endpoint.port,
            dbname=self.endpoint.name,
            user=login.username,
            password=login.password.reveal(),
            sslmode="verify-full",
            sslrootcert=self.endpoint.ca,
            autocommit=True,
        ) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def add_user(self, username: str, password: str) -> None:
        self.execute(f"CREATE ROLE \"{username}\" LOGIN PASSWORD '{password}'")
        self.entrust(username)

    def entrust(self, username: str) -> None:
        """Gives ``admin`` what the documentation wants for each user."""
        if self.major >= 16:
            for statement in for_each_user(Engine.POSTGRES, username):
                self.execute(statement)

    @cached_property
    def major(self) -> int:
        return int(self.release.version.split()[1].split(".")[0])


@contextlib.contextmanager
def postgres(
    folder: Path, authority: Authority, *, port: int = 0, release: Release = POSTGRES, more: str = ""
) -> Iterator[PostgresServer]:
    """Serves the database ``app`` until the block ends; what ``folder`` holds from before is served again."""
    port = port or free_port()
    data, log = folder / "data", folder / "postgres.log"
    _own(folder)
    ca = authority.write(folder / "ca.pem")
    server = PostgresServer(Endpoint(Engine.POSTGRES, "localhost", port, "app", str(ca)), log, release)
    is_new = not data.exists()
    if is_new:
        release.initialised(data, lambda made: _initialize(made, release))
        _configure(data, authority, more)
    with running(_command(release, "postgres", "-D", str(data), "-p", str(port)), log=log, grace=10) as process:
        admin = replace(server, endpoint=replace(server.endpoint, name="postgres"))
        wait_until(lambda: _answers(admin), process, timeout=60, log=log)
        if is_new:
            # What sets a scene may be seen in no log, so that what keepstep writes is looked for alone.
            for setting in ("log_statement = 'none'", "log_min_error_statement = 'panic'"):
                admin.execute(f"ALTER ROLE {ROOT.username} SET {setting}")
            admin.execute("CREATE DATABASE app")
            for statement in administrator(Engine.POSTGRES, ADMIN.password.reveal()):
                admin.execute(statement)
        yield server


def _initialize(made: Path, release: Release) -> None:
    made.mkdir(parents=True)
    _own(made)
    with tempfile.NamedTemporaryFile("w", prefix="keepstep-db-") as password:
        password.write(ROOT.password.reveal())
        password.flush()
        _own(Path(password.name))
        options = ("-U", ROOT.username, "-A", "scram-sha-256", "--pwfile", password.name, "--no-sync", "-E", "UTF8")
        command = _command(release, "initdb", "-D", str(made), *options, "--locale", "C.UTF-8")
        done = subprocess.run(command, capture_output=True, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace"))


def _configure(data: Path, authority: Authority, more: str) -> None:
    for path in (*authority.issue().write(data), authority.write(data / "ca.pem")):
        _own(path)
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(_SETTINGS + more)
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")


def _command(release: Release, name: str, *words: str) -> list[str]:
    """PostgreSQL refuses to be root: there it runs as ``postgres``."""
    found = release.find(name)
    if os.geteuid() != 0:
        return [found, *words]
    _owner()
    return [program("setpriv", "setpriv"), "--reuid=postgres", "--regid=postgres", "--clear-groups", found, *words]


def _owner() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        absent("the user postgres", "apt-get install postgresql")


def _own(path: Path) -> None:
    if os.geteuid() != 0:
        return
    owner = _owner()
    os.chown(path, owner.pw_uid, owner.pw_gid)


def _answers(server: PostgresServer) -> bool:
    """Whether it takes logins; one that is starting up listens already."""
    import psycopg

    with contextlib.suppress(psycopg.OperationalError):
        return bool(server.execute("SELECT 1"))
    return False

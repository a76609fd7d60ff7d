"""A real MariaDB with TLS that logs every statement."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepstep.databases.engines import Engine
from tests.database_servers.certificates import Authority
from tests.database_servers.mysql import MysqlServer, options, serving
from tests.database_servers.programs import MARIADB, Release


@dataclass(frozen=True)
class MariadbServer(MysqlServer):
    release: Release = MARIADB


@contextlib.contextmanager
def mariadb(
    folder: Path,
    authority: Authority,
    *,
    port: int = 0,
    release: Release = MARIADB,
    tls: bool = True,
    more: dict[str, Any] | None = None,
) -> Iterator[MariadbServer]:
    """Serves the database ``app`` until the block ends; what ``folder`` holds from before is served again."""
    share = next(
        (each for each in ("mariadb", "mysql") if (release.root / "usr/share" / each / "english").exists()), ""
    )
    where = {
        "basedir": release.root / "usr",
        "lc-messages-dir": release.root / "usr/share" / share,
        "plugin-dir": release.root / "usr/lib/mysql/plugin",
        "character-sets-dir": release.root / "usr/share" / share / "charsets",
        "innodb-log-file-size": "8M",
    }

    def initialise(data: Path) -> None:
        """What mariadb-install-db does, which finds its programs only where they are installed."""
        data.mkdir(parents=True)
        scripts = release.root / "usr/share" / share
        names = ("system_tables.sql", "system_tables_data.sql", "performance_tables.sql")
        words = [path.read_text() for name in names for path in sorted(scripts.glob(f"m*_{name}"))[:1]]
        text = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n" + "\n".join(words)
        paths = where | {"datadir": data, "tmpdir": data.parent, "max-allowed-packet": "8M"}
        command = [release.find(), *options(paths), "--bootstrap", "--skip-name-resolve"]
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=120)
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace"))

    settings = where | (more or {})
    with serving(folder, authority, release, Engine.MARIADB, settings, initialise, port, tls=tls) as (
        endpoint,
        data,
    ):
        yield MariadbServer(endpoint, folder / "server.log", data / "general.log", release, tls=tls)

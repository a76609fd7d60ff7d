"""Where the database servers' programs are: the machine's own, and those that tools/database-servers.sh unpacks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tests.servers import absent

CACHE = Path(__file__).parents[2] / ".cache" / "database-servers"


@dataclass(frozen=True)
class Release:
    """One server program of one version; ``unpacked`` names the folder of a server that the script unpacks."""

    name: str
    program: str
    """Glob below the root of the file system, or of the unpacked folder."""
    unpacked: str = ""

    @property
    def root(self) -> Path:
        return CACHE / self.unpacked if self.unpacked else Path("/")

    def path(self, program: str = "") -> Path | None:
        """A program of this release, next to the server itself; None where the release is missing."""
        found = sorted(self.root.glob(self.program.lstrip("/")))
        return (found[-1].with_name(program) if program else found[-1]) if found else None

    def find(self, program: str = "") -> str:
        return str(self.path(program) or self._absent())

    @property
    def version(self) -> str:
        """``MySQL 9.7.4``, as the program itself says; empty where it is missing."""
        program = self.path()
        if not program:
            return ""
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60).stdout
        found = re.search(r"(?:Ver|\(PostgreSQL\)) (\d+(?:\.\d+)+)", said)
        return f"{self.name} {found[1]}" if found else f"{self.name} of an unknown version"

    def initialised(self, data: Path, make: Callable[[Path], None]) -> None:
        """``data`` becomes a copy of what ``make`` initialises, which is done once for each version."""
        template = CACHE / "data" / self.version.replace(" ", "-")
        with _locked(template.parent / "lock"):
            if not template.exists():
                made = template.with_suffix(".new")
                shutil.rmtree(made, ignore_errors=True)
                make(made)
                made.rename(template)
        # cp keeps owners and holes.
        subprocess.run(["cp", "-a", str(template), str(data)], check=True, timeout=120)

    def _absent(self) -> NoReturn:
        package = {"MySQL": "", "MariaDB": "mariadb-server", "PostgreSQL": "postgresql"}[self.name]
        hint = f"tools/database-servers.sh {self.unpacked}" if self.unpacked else f"apt-get install {package}"
        absent(f"{self.name} ({self.unpacked or 'of this machine'})", hint)


MYSQL = Release("MySQL", "usr/sbin/mysqld", "mysql")
MARIADB = Release("MariaDB", "usr/sbin/mariadbd")
NEW_MARIADB = Release("MariaDB", "usr/sbin/mariadbd", "mariadb")
POSTGRES = Release("PostgreSQL", "usr/lib/postgresql/*/bin/postgres")
NEW_POSTGRES = Release("PostgreSQL", "usr/lib/postgresql/*/bin/postgres", "postgresql")
RELEASES = (MYSQL, MARIADB, NEW_MARIADB, POSTGRES, NEW_POSTGRES)


def report() -> str:
    """One line for the test report: the servers that are here, and their versions."""
    return "databases: " + (", ".join(filter(None, (each.version for each in RELEASES))) or "none")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def as_root(words: list[str]) -> list[str]:
    """Options by which a server of the MySQL family runs as root, which it refuses unless it is told to."""
    return words if os.geteuid() == 0 else []

"""Where a database listens, and whose certificates it may show."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from keepstep.clouds.tls import verified
from keepstep.databases.engines import Engine
from keepstep.errors import ConfigError

if TYPE_CHECKING:
    from keepstep.databases.interface import Login
    from keepstep.databases.wallet import Wallet

PATIENCE = 20.0
"""Seconds until somebody who does not answer, a connection or a statement, is taken to be away."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server and the database on it."""

    engine: Engine
    host: str
    """A name: certificates are verified to it."""
    port: int
    name: str
    """The database; Oracle's service."""
    ca: str | None = None
    """Path of a PEM file with the only authorities that are trusted; without it the system's are."""
    patience: float = PATIENCE

    def __str__(self) -> str:
        return f"{self.engine} {self.name}@{self.host}:{self.port}"

    @property
    def path(self) -> str:
        """Host, port and database, as an address has them."""
        return f"{self.host}:{self.port}/{quote(self.name, safe='')}"


@dataclass(frozen=True, slots=True)
class Reach:
    """How a database is reached: by its endpoint, or where the engine has them, by a dsn and a wallet."""

    endpoint: Endpoint
    dsn: str = ""
    wallet: Wallet | None = None


def trust(endpoint: Endpoint) -> ssl.SSLContext:
    """TLS that verifies the server and its name. Raises :class:`ConfigError` for a file that cannot be used."""
    try:
        return verified(cafile=endpoint.ca)
    except (OSError, ssl.SSLError) as exc:
        why = getattr(exc, "strerror", None) or "it holds no certificate"
        raise ConfigError(
            f"{endpoint}: cannot use the CA file {endpoint.ca}: {why}", hint="it has to be a PEM file"
        ) from exc


def quoted(login: Login) -> tuple[str, str]:
    """Username and password, as an address has them."""
    return quote(login.username, safe=""), quote(login.password.reveal(), safe="")

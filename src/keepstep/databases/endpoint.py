"""Where a database listens, and whose certificates it may show."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from keepstep.clouds.tls import verified
from keepstep.databases.interface import Engine
from keepstep.errors import ConfigError

PORTS = {Engine.POSTGRES: 5432, Engine.MYSQL: 3306, Engine.MARIADB: 3306, Engine.ORACLE: 2484}
"""Where they listen when nobody says otherwise; Oracle's is the one for TLS."""

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


def trust(endpoint: Endpoint) -> ssl.SSLContext:
    """TLS that verifies the server and its name. Raises :class:`ConfigError` for a file that cannot be used."""
    try:
        return verified(cafile=endpoint.ca)
    except (OSError, ssl.SSLError) as exc:
        why = getattr(exc, "strerror", None) or "it holds no certificate"
        raise ConfigError(
            f"{endpoint}: cannot use the CA file {endpoint.ca}: {why}", hint="it has to be a PEM file"
        ) from exc

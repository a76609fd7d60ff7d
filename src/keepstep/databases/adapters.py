"""What the module of every engine has; it is loaded when a database of that engine is met."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

from keepstep.databases.endpoint import Endpoint, Reach
from keepstep.databases.engines import Engine
from keepstep.databases.interface import Database, Login


class Adapter(Protocol):
    """What the module of an engine has."""

    def open_database(self, reach: Reach) -> Database:
        """The database; nothing is connected to yet. Raises :class:`ConfigError` for what cannot be reached so."""
        ...

    def connection_strings(self, where: Endpoint | str, login: Login) -> Mapping[str, str]:
        """What clients connect with, by the kind of client; ``where`` is a text for an engine that has a dsn."""
        ...

    def start_tls(self, plain: socket.socket, endpoint: Endpoint) -> None:
        """The exchange before TLS begins. Blocks; raises :class:`Error` where the server does not support TLS."""
        ...


def adapter_of(engine: Engine) -> Adapter:
    """Loads the driver; raises ``ModuleNotFoundError`` where it is not installed."""
    return cast(Adapter, import_module(f"keepstep.databases.{engine.facts.module or engine.facts.name}"))

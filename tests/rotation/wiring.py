"""A rotation from a description that JSON can hold, so that another process can run it too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.oci import OciIdentity
from keepstep.databases.endpoint import Endpoint, trust
from keepstep.databases.engines import Engine
from keepstep.databases.interface import Database, Login
from keepstep.databases.mysql import MysqlDatabase
from keepstep.databases.oracle import OracleDatabase, dsn_of
from keepstep.databases.postgres import PostgresDatabase
from keepstep.rotation.changes import Strategy
from keepstep.rotation.member import DatabaseMember
from keepstep.rotation.pace import RotationPace
from keepstep.rotation.stores import Stores
from keepstep.rotation.wiring import Rotation
from keepstep.secret import Secret
from keepstep.vaults.aws_staging import SecretsManagerStages
from keepstep.vaults.oci_staging import OciVaultStages

Described = dict[str, Any]


def wired(described: Described, stack: AsyncExitStack, identity: AwsIdentity | None = None) -> Rotation:
    """With vaults of its own: what one worker remembers another one does not know."""
    primary, secondary = SecretsManagerStages(identity or AwsIdentity()), OciVaultStages(OciIdentity())
    stack.push_async_callback(primary.close)
    stack.push_async_callback(secondary.close)
    strategy = Strategy(described["strategy"])
    return Rotation(
        name="job",
        stores=Stores(primary, secondary, described["arn"], described["ocid"]),
        members=tuple(_member(member, strategy) for member in described["members"]),
        pace=RotationPace(
            interval=timedelta(seconds=described["interval"]), grace=timedelta(seconds=described["grace"])
        ),
        strategy=strategy,
    )


def _member(member: Described, strategy: Strategy) -> DatabaseMember:
    return member_of(database_of(member), strategy, admin_of(*member["admin"]) if member["admin"] else None)


def member_of(
    database: Database, strategy: Strategy, admin: Callable[[], Awaitable[Login]] | None
) -> DatabaseMember:
    """Each engine's own way to keep two passwords."""
    if strategy.keeps_two:
        strategy = Strategy.ROLLOVER if database.engine is Engine.ORACLE else Strategy.DUAL
    return DatabaseMember(database, strategy, admin)


def admin_of(username: str, password: str) -> Callable[[], Awaitable[Login]]:
    async def admin() -> Login:
        return Login(username, Secret(password))

    return admin


def database_of(member: Described) -> Database:
    endpoint = Endpoint(Engine(member["engine"]), *(member[key] for key in ("host", "port", "name", "ca")))
    match endpoint.engine:
        case Engine.POSTGRES:
            return PostgresDatabase(endpoint)
        case Engine.ORACLE:
            return OracleDatabase(dsn_of(endpoint), trust(endpoint))
        case _:
            return MysqlDatabase(endpoint)


def describe(endpoint: Endpoint, admin: Login | None) -> Described:
    login = [admin.username, admin.password.reveal()] if admin else None
    where = {"host": endpoint.host, "port": endpoint.port, "name": endpoint.name, "ca": endpoint.ca}
    return {"engine": endpoint.engine.value, **where, "admin": login}

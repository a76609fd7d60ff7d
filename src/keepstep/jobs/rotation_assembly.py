"""Assembles the rotation of a ``rotate`` job: vaults, databases, audit log; the only module that picks them.

Drivers, wallets and the administrator's secret are loaded only when needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from keepstep.audit.keys import Keyring
from keepstep.audit.log import AuditLog
from keepstep.clock import SystemClock
from keepstep.databases.adapters import adapter_of
from keepstep.databases.endpoint import Endpoint, Reach
from keepstep.databases.engines import Engine
from keepstep.databases.interface import Database as Adapter
from keepstep.databases.interface import Login
from keepstep.databases.wallet import Wallet, read_wallet
from keepstep.errors import ConfigError
from keepstep.jobs.assembly import Assembly, needs_extra
from keepstep.jobs.audit import places_of
from keepstep.jobs.settings import credential_secret, secret_setting
from keepstep.rotation.audit_trail import AppendEntry
from keepstep.rotation.blob import DatabaseAddress
from keepstep.rotation.changes import Strategy
from keepstep.rotation.connections import Connections
from keepstep.rotation.credential import read_payload
from keepstep.rotation.member import Admin, DatabaseMember
from keepstep.rotation.pace import RotationPace
from keepstep.rotation.settings import Called, as_key
from keepstep.rotation.stores import Stores
from keepstep.rotation.wiring import Rotation
from keepstep.stores.address import Address
from keepstep.stores.address import parse as parse_store
from keepstep.stores.interface import Appendable
from keepstep.vaults.fields import field_of
from keepstep.vaults.interface import Vault

if TYPE_CHECKING:
    from keepstep.config import Audit, Database, RotateJob
    from keepstep.vaults.aws_staging import SecretsManagerStages
    from keepstep.vaults.oci_staging import OciVaultStages

_WALLET_SIZE = 1 << 20
"""Maximum bytes of a wallet in a bucket."""


class RotationAssembly:
    """Creates the parts of one job; ``stack`` closes what it opens."""

    def __init__(
        self, assembly: Assembly, stack: AsyncExitStack, warn: Callable[[str], None], called: Called = as_key
    ) -> None:
        """``called`` returns the user's name of a setting."""
        self._called = called
        self._assembly = assembly
        self._stack = stack
        self._warn = warn
        self._vaults: dict[str, Vault] = {}
        self._logins: dict[str, asyncio.Task[Login]] = {}

    async def rotation(self, name: str, job: RotateJob) -> Rotation:
        """Assembles the rotation. Raises :class:`ConfigError`, and errors of reading a wallet."""
        strategy = Strategy(job.strategy or "single")
        if not job.database:
            raise ConfigError(f"{name} has no database", hint=f"add a [[job.{name}.database]]")
        databases = sorted(job.database, key=lambda database: list(Engine).index(database.engine))
        members = [await self._member(database, strategy) for database in databases]
        stores = self.stores(job)
        return Rotation(
            name=name,
            stores=stores,
            members=tuple(members),
            pace=RotationPace(interval=job.interval, grace=job.grace),
            strategy=strategy,
            append=self._log(name, job.audit) if job.audit else None,
            username=job.username,
            connections=self._connections(job, stores, tuple(map(_place, databases))),
        )

    def stores(self, job: RotateJob) -> Stores:
        """Only the two secrets. Raises :class:`ConfigError` if one is missing."""
        aws = credential_secret(job.aws_secret, "aws-sm", called=self._called("aws_secret")).name
        oci = credential_secret(job.oci_secret, "oci-vault", called=self._called("oci_secret")).name
        return Stores(self._primary(), self._secondary(), aws, oci)

    def _primary(self) -> SecretsManagerStages:
        with needs_extra("aws"):
            import botocore  # noqa: F401 - missing here rather than at the first question

            from keepstep.vaults.aws_staging import SecretsManagerStages
        vault = SecretsManagerStages(self._assembly.aws)
        self._stack.push_async_callback(vault.close)
        return vault

    def _secondary(self) -> OciVaultStages:
        with needs_extra("oci"):
            from keepstep.vaults.oci_staging import OciVaultStages

            vault = OciVaultStages(self._assembly.oci)
        self._stack.push_async_callback(vault.close)
        return vault

    def _vault(self, kind: str) -> Vault:
        if kind not in self._vaults:
            self._vaults |= self._assembly.vaults([kind])
            self._stack.push_async_callback(self._vaults[kind].close)
        return self._vaults[kind]

    async def _member(self, member: Database, strategy: Strategy) -> DatabaseMember:
        own = _strategy_of(member, strategy, self._called)
        admin = self._admin(member.admin) if member.admin else None
        if own is Strategy.ALTERNATING and admin is None:
            raise ConfigError(
                "alternating users need an administrator: neither user may change the other's password",
                hint=f"name its secret with {self._called('admin')}",
            )
        return DatabaseMember(await self._database(member), own, admin, self._called)

    def _admin(self, address: str) -> Admin:
        async def login() -> Login:
            if address not in self._logins:
                self._logins[address] = asyncio.ensure_future(self._read_login(address))
            return await self._logins[address]

        return login

    async def _read_login(self, text: str) -> Login:
        address = secret_setting(text, "aws-sm", called=self._called("admin"))
        value = await self._vault(address.vault).get(address.name)
        return read_payload(value.content, text).credential.login

    async def _database(self, member: Database) -> Adapter:
        engine = member.engine
        with needs_extra(engine.extra):
            adapter = adapter_of(engine)
        wallet = await self.wallet(member.wallet) if member.wallet else None
        where = Endpoint(engine, "", 0, member.dsn, member.ca) if member.dsn else _endpoint(member)
        return adapter.open_database(Reach(where, member.dsn or "", wallet))

    async def wallet(self, address: str) -> Wallet:
        """Reads the wallet from a file, a secret or a bucket into memory."""
        if address.startswith(("ocid1.vaultsecret.", "arn:", "aws-sm:", "aws-ssm:")):
            secret = secret_setting(address, called=self._called("wallet"))
            content = (await self._vault(secret.vault).get(secret.name)).content
            return read_wallet(field_of(content.reveal_bytes(), secret))
        if not address.startswith(("s3://", "oci://")):
            try:
                return read_wallet(await asyncio.to_thread(Path(address).read_bytes))
            except OSError as exc:
                raise ConfigError(f"cannot read the wallet {address}: {exc.strerror}") from exc
        return read_wallet(await self._object(address))

    async def _object(self, text: str) -> bytes:
        address = parse_store(text)
        folder, _, name = address.prefix.rstrip("/").rpartition("/")
        store = self._assembly.source(replace(address, prefix=f"{folder}/" if folder else ""))
        self._stack.push_async_callback(store.close)
        async for page in store.list():
            for number, key in enumerate(page.keys):
                if key == name:
                    source = await store.open(page.entry(number), _WALLET_SIZE)
                    try:
                        return bytes(source.first)
                    finally:
                        await source.close()
        raise ConfigError(f"there is no wallet {text}")

    def _log(self, name: str, audit: Audit) -> AppendEntry:
        places = places_of(name, audit, self._called)
        keyring = Keyring(self._vault(places.key.vault), places.key)
        anchor = self._folder(places.anchor) if places.anchor else None
        log = AuditLog(
            places.chain, self._folder(places.log), keyring, SystemClock(), anchor=anchor, warn=self._warn
        )
        return log.append

    def _folder(self, address: Address) -> Appendable:
        store = self._assembly.target(address)
        self._stack.push_async_callback(store.close)
        return cast(Appendable, store)

    def _connections(
        self, job: RotateJob, stores: Stores, places: tuple[DatabaseAddress, ...]
    ) -> Connections | None:
        blob = job.connection_blob
        if blob is None or not (blob.aws or blob.oci):
            return None
        return Connections(
            places=places,
            primary=stores.primary,
            secondary=stores.secondary,
            aws=self._blob(blob.aws, "aws"),
            oci=self._blob(blob.oci, "oci"),
        )

    def _blob(self, text: str | None, cloud: str) -> str | None:
        if not text:
            return None
        vault = {"aws": "aws-sm", "oci": "oci-vault"}[cloud]
        return credential_secret(text, vault, called=self._called(f"connection_blob.{cloud}")).name


def _strategy_of(member: Database, strategy: Strategy, called: Called) -> Strategy:
    """The strategy of each database: for two passwords MySQL uses dual passwords, Oracle a rollover."""
    if not strategy.keeps_two:
        return strategy
    if own := member.engine.facts.two_passwords:
        return Strategy(own)
    raise ConfigError(
        f"{member.engine} keeps one password per user, so {strategy} is impossible",
        hint=f"set {called('strategy')} to alternating, for the whole set",
    )


def _endpoint(member: Database) -> Endpoint:
    engine = member.engine
    if not member.host or not member.name:
        missing = "host" if not member.host else "name"
        raise ConfigError(f"the {engine} database has no {missing}", hint="certificates are verified to the host")
    return Endpoint(engine, member.host, member.port or engine.facts.port, member.name, member.ca)


def _place(member: Database) -> DatabaseAddress:
    return (
        DatabaseAddress(member.engine, dsn=member.dsn)
        if member.dsn
        else DatabaseAddress(member.engine, _endpoint(member))
    )

"""One credential in two local clouds and some databases, and everything that can be asked about it from outside.

What sets the scene and looks at it are the clouds' own SDKs and the databases' own drivers, not our code.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from keepstep.databases.interface import Login
from keepstep.rotation.audit_trail import AppendEntry
from keepstep.rotation.changes import Strategy
from keepstep.rotation.tick import Tick
from keepstep.rotation.wiring import Rotation
from keepstep.runs.report import Report, action_log
from keepstep.secret import Secret
from keepstep.testing.databases import MemoryDatabase
from keepstep_localcloud.server import LocalCloud
from tests.database_servers.mysql import MysqlServer
from tests.database_servers.oracle import OracleServer
from tests.database_servers.postgres import PostgresServer
from tests.rotation.null_watcher import Silence
from tests.rotation.wiring import Described, admin_of, describe, member_of, wired
from tests.servers import Aws

Server = PostgresServer | MysqlServer | OracleServer
_numbers = itertools.count()
FIRST = "first-Passw0rd"


class Clouds:
    """The local AWS and OCI, by boto3 and the OCI SDK."""

    def __init__(self, aws: Aws, cloud: LocalCloud) -> None:
        import oci

        self.aws = aws
        self.cloud = cloud
        self.sm = aws.client("secretsmanager")
        config = oci.config.from_file(str(cloud.config))
        self.vaults: Any = oci.vault.VaultsClient(config, service_endpoint=cloud.endpoint)
        self.bundles: Any = oci.secrets.SecretsClient(config, service_endpoint=cloud.endpoint)
        self.models: Any = oci.vault.models

    @property
    def env(self) -> dict[str, str]:
        return {**self.cloud.env, **self.aws.env}

    def create(self, text: str) -> tuple[str, str]:
        """ARN and OCID of new secrets that hold the text."""
        name = f"rotation-{os.getpid()}-{next(_numbers)}"
        details = self.models.CreateSecretDetails(
            compartment_id=self.cloud.tenancy,
            vault_id="ocid1.vault.oc1.iad.rotation",
            key_id="ocid1.key.oc1.iad.k",
            secret_name=name,
            secret_content=self.oci_content(text),
        )
        arn = self.sm.create_secret(Name=name, SecretString=text)["ARN"]
        return arn, str(self.vaults.create_secret(details).data.id)

    def oci_content(self, text: str, **more: str) -> Any:
        encoded = base64.b64encode(text.encode()).decode()
        return self.models.Base64SecretContentDetails(content=encoded, **more)

    def put_oci(self, ocid: str, text: str, **more: str) -> None:
        details = self.models.UpdateSecretDetails(secret_content=self.oci_content(text, **more))
        self.vaults.update_secret(ocid, details)


@dataclass
class Scene:
    """``members`` are real servers, or databases in memory."""

    clouds: Clouds
    members: Sequence[Server | MemoryDatabase]
    strategy: Strategy = Strategy.ALTERNATING
    has_admin: bool = True
    interval: timedelta = timedelta(hours=24)
    grace: timedelta = timedelta(hours=1)
    append: AppendEntry | None = None
    prefix: str = "app"
    user: str = ""
    arn: str = ""
    ocid: str = ""
    others: dict[str, Any] = field(default_factory=dict)
    """More fields of the secret."""
    options: dict[str, Any] = field(default_factory=dict)
    """More settings of the rotation."""

    def __post_init__(self) -> None:
        self.user = self.user or f"{self.prefix}{os.getpid()}x{next(_numbers)}_a"
        for member in self.members:
            self.add_user(member, self.user, FIRST)
            if self.strategy is Strategy.ALTERNATING:
                self.add_user(member, self.partner, "of-the-partner-1")
        self.arn, self.ocid = self.clouds.create(self.payload(FIRST, gen=1))

    @property
    def partner(self) -> str:
        return self.user[:-2] + "_b"

    @staticmethod
    def add_user(member: Server | MemoryDatabase, user: str, password: str) -> None:
        if isinstance(member, MemoryDatabase):
            member.add(user, password)
        else:
            member.add_user(user, password)

    def payload(self, password: str, *, gen: int | None = None, user: str = "") -> str:
        numbered = {} if gen is None else {"schema": 1, "gen": gen}
        return json.dumps({**numbered, "username": user or self.user, "password": password, **self.others})

    def described(self) -> Described:
        """What another process needs to work on it. Only of real servers."""
        return {
            "arn": self.arn,
            "ocid": self.ocid,
            "strategy": self.strategy.value,
            "interval": self.interval.total_seconds(),
            "grace": self.grace.total_seconds(),
            "members": [
                describe(member.endpoint, member.admin if self.has_admin else None)
                for member in self.members
                if not isinstance(member, MemoryDatabase)
            ],
        }

    def rotation(self, stack: AsyncExitStack) -> Rotation:
        rotation = wired(self.described(), stack)
        memory = [member for member in self.members if isinstance(member, MemoryDatabase)]
        members = [member_of(each, self.strategy, _admin_in(each) if self.has_admin else None) for each in memory]
        return replace(rotation, members=(*rotation.members, *members), append=self.append, **self.options)

    async def ticked(self, *, now: bool = False, plan: bool = False, watcher: Silence | None = None) -> Report:
        """One tick in this process."""
        started = datetime.now(UTC)
        report = Report("rotate", self.arn, self.ocid, started, actions=action_log())
        async with AsyncExitStack() as stack:
            rotation = self.rotation(stack)
            await Tick(rotation, report, watcher or Silence(), is_forced=now, is_plan=plan).run()
        return report

    def tick(self, *, now: bool = False, plan: bool = False, watcher: Silence | None = None) -> Report:
        return asyncio.run(self.ticked(now=now, plan=plan, watcher=watcher))

    def aws(self, stage: str = "CURRENT") -> dict[str, Any] | None:
        """What a client gets from Secrets Manager."""
        try:
            answer = self.clouds.sm.get_secret_value(SecretId=self.arn, VersionStage=f"AWS{stage}")
        except self.clouds.sm.exceptions.ResourceNotFoundException:
            return None
        return dict(json.loads(answer["SecretString"]))

    def oci(self, stage: str = "CURRENT") -> dict[str, Any] | None:
        """What a client gets from OCI Vault."""
        import oci

        try:
            bundle = self.clouds.bundles.get_secret_bundle(self.ocid, stage=stage).data
        except oci.exceptions.ServiceError as exc:
            if exc.status == 404:
                return None
            raise
        return dict(json.loads(base64.b64decode(bundle.secret_bundle_content.content)))

    def stages(self) -> dict[str, list[str]]:
        return dict(self.clouds.sm.describe_secret(SecretId=self.arn)["VersionIdsToStages"])

    def is_in_step(self, gen: int) -> bool:
        """Both clouds hold that generation alone, and every database lets it in."""
        a, o = self.aws(), self.oci()
        if a is None or o is None or self.aws("PENDING") or self.oci("PENDING"):
            return False
        keys = ("gen", "username", "password")
        return a["gen"] == gen and all(a[key] == o[key] for key in keys) and self.all_let_in(a)

    def all_let_in(self, payload: dict[str, Any] | None) -> bool:
        return payload is not None and all(lets_in(member, payload) for member in self.members)

    def toml(self, folder: Path, **more: str) -> Path:
        """A keepstep.toml with this job, and its state next to it."""
        path = folder / "keepstep.toml"
        lines = [
            f'[state]\nurl = "sqlite:///{folder}/state/state.db"\n',
            '[job.app]\nkind = "rotate"',
            f'strategy = "{self.strategy}"\naws_secret = "{self.arn}"\noci_secret = "{self.ocid}"',
            *(f"{key} = {value}" for key, value in more.items()),
        ]
        for member in self.members:
            assert not isinstance(member, MemoryDatabase)
            where = member.endpoint
            lines.append("[[job.app.database]]")
            lines.append(f'engine = "{where.engine}"\nhost = "{where.host}"\nport = {where.port}')
            lines.append(f'name = "{where.name}"\nca = "{where.ca}"')
            if self.has_admin:
                lines.append(f'admin = "{self.admin_secret(member)}"')
        path.write_text("\n".join(lines) + "\n")
        return path

    def admin_secret(self, member: Server) -> str:
        login = {"username": member.admin.username, "password": member.admin.password.reveal()}
        name = f"admin-{os.getpid()}-{next(_numbers)}"
        return str(self.clouds.sm.create_secret(Name=name, SecretString=json.dumps(login))["ARN"])

    def run(self, folder: Path, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return called(self.clouds, folder, *words, env=env)


def called(
    clouds: Clouds, folder: Path, *words: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command, called in this process, which costs a tenth of a process of its own."""
    from click.testing import CliRunner

    from keepstep.cli import main

    with contextlib.chdir(folder):
        result = CliRunner(env={**clouds.env, **(env or {})}).invoke(main, words)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)


def in_process(
    clouds: Clouds, folder: Path, *words: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command as a process."""
    command = [sys.executable, "-m", "keepstep", *words]
    environment = {**os.environ, **clouds.env, **(env or {})}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def _admin_in(member: MemoryDatabase) -> Callable[[], Awaitable[Login]]:
    member.add("admin", "admin-Passw0rd")
    return admin_of("admin", "admin-Passw0rd")


def lets_in(member: Server | MemoryDatabase, payload: dict[str, Any]) -> bool:
    """Asked by the database's own driver."""
    import oracledb
    import psycopg
    import pymysql

    user, password = payload["username"], payload["password"]
    if isinstance(member, MemoryDatabase):
        known = member.users.get(user)
        return known is not None and Secret(password) in (known.newest, known.second)
    try:
        log_in(member, user, password)
    except (psycopg.OperationalError, pymysql.err.OperationalError, oracledb.DatabaseError):
        return False
    return True


def log_in(member: Server, user: str, password: str) -> None:
    """As a client does, TLS verified. Raises the driver's own error."""
    import oracledb
    import psycopg
    import pymysql

    where = member.endpoint
    if isinstance(member, PostgresServer):
        options: Any = {"dbname": where.name, "sslmode": "verify-full", "sslrootcert": where.ca}
        psycopg.connect(host=where.host, port=where.port, user=user, password=password, **options).close()
        return
    trusted = ssl.create_default_context(cafile=where.ca)
    if isinstance(member, OracleServer):
        dsn = f"tcps://{where.host}:{where.port}/{where.name}"
        oracledb.connect(user=user, password=password, dsn=dsn, ssl_context=trusted).close()
    else:
        pymysql.connect(
            host=where.host, port=where.port, user=user, password=password, database=where.name, ssl=trusted
        ).close()

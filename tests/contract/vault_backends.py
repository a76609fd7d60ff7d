"""The vaults that the contract is held against: memory, OCI Vault, Secrets Manager and Parameter Store."""

from __future__ import annotations

import base64
import itertools
import os
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pytest

from keepstep.cli.running import run
from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.oci import OciIdentity
from keepstep.testing.vaults import MemoryVault
from keepstep.vaults.aws_parameters import ParameterStoreVault
from keepstep.vaults.aws_secrets import SecretsManagerVault
from keepstep.vaults.interface import Stage, Vault
from keepstep.vaults.oci import OciVault
from keepstep_localcloud.server import LocalCloud
from tests.servers import Aws

T = TypeVar("T")
_numbers = itertools.count()


class Writer(Protocol):
    """Makes secrets by the clouds' own SDKs."""

    def create(self, content: bytes) -> str:
        """A new secret's name."""
        ...

    def put(self, name: str, content: bytes, stage: Stage = Stage.CURRENT) -> None: ...

    def pretend(self, status: int, **headers: str) -> None:
        """The next question is answered with this status."""
        ...


@dataclass
class VaultBackend:
    """One kind of vault, and what writes to it."""

    kind: str
    make: Callable[[], Vault]
    writer: Writer
    most: int
    """Bytes that a secret may have."""
    missing: str = "no-such-secret"

    def renew(self) -> None:
        """Later questions come from an identity that reads the environment again."""
        fresh: dict[str, Callable[[], Vault]] = {
            "oci-vault": lambda: OciVault(OciIdentity()),
            "aws-sm": lambda: SecretsManagerVault(AwsIdentity()),
            "aws-ssm": lambda: ParameterStoreVault(AwsIdentity()),
        }
        self.make = fresh[self.kind]

    def ask(self, work: Callable[[Vault], Awaitable[T]]) -> T:
        async def main() -> T:
            vault = self.make()
            try:
                return await work(vault)
            finally:
                await vault.close()

        return run(main())


KINDS = ("memory", "oci-vault", "aws-sm", "aws-ssm")


@pytest.fixture(scope="session")
def _vault_cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture
def vault_ground(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[VaultBackend]:
    """Tests name their kinds by ``@pytest.mark.parametrize("vault_ground", [...], indirect=True)``."""
    kind: str = request.param
    if kind == "memory":
        memory = MemoryWriter()
        yield VaultBackend(kind, lambda: memory.vault, memory, 1 << 20)
        return
    if kind == "oci-vault":
        cloud: LocalCloud = request.getfixturevalue("_vault_cloud")
        _set(monkeypatch, cloud.env)
        missing = f"ocid1.vaultsecret.oc1.iad.{'a' * 60}"
        yield VaultBackend(kind, lambda: OciVault(OciIdentity()), OciWriter(cloud), 25 * 1024, missing=missing)
        cloud.clear_faults()
        return
    server: Aws = request.getfixturevalue("moto")
    side: AwsSide = request.getfixturevalue("_aws_side")
    _set(monkeypatch, server.env)
    if kind == "aws-sm":
        yield VaultBackend(kind, lambda: SecretsManagerVault(side.identity), side.secrets, 65536)
    else:
        yield VaultBackend(kind, lambda: ParameterStoreVault(side.identity), side.parameters, 4096)


@pytest.fixture(scope="session")
def _aws_side(_moto: Aws) -> AwsSide:
    return AwsSide(AwsIdentity(), SecretsWriter(_moto), ParameterWriter(_moto))


def _set(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def _name() -> str:
    return f"contract-{os.getpid()}-{next(_numbers)}"


class MemoryWriter:
    def __init__(self) -> None:
        self.vault = MemoryVault()

    def create(self, content: bytes) -> str:
        name = _name()
        self.vault.put(name, content)
        return name

    def put(self, name: str, content: bytes, stage: Stage = Stage.CURRENT) -> None:
        self.vault.put(name, content, stage)

    def pretend(self, status: int, **headers: str) -> None:
        raise NotImplementedError("memory does not fail")


class OciWriter:
    """By the official SDK's management client."""

    def __init__(self, cloud: LocalCloud) -> None:
        import oci

        self._cloud = cloud
        config = oci.config.from_file(str(cloud.config))
        self._client: Any = oci.vault.VaultsClient(config, service_endpoint=cloud.endpoint)
        self._models: Any = oci.vault.models

    def create(self, content: bytes) -> str:
        details = self._models.CreateSecretDetails(
            compartment_id=self._cloud.tenancy,
            vault_id="ocid1.vault.oc1.iad.contract",
            key_id="ocid1.key.oc1.iad.k",
            secret_name=_name(),
            secret_content=self._content(content),
        )
        return str(self._client.create_secret(details).data.id)

    def put(self, name: str, content: bytes, stage: Stage = Stage.CURRENT) -> None:
        new = self._content(content, stage=stage.value)
        self._client.update_secret(name, self._models.UpdateSecretDetails(secret_content=new))

    def pretend(self, status: int, **headers: str) -> None:
        self._cloud.fault("GetSecretBundle", status=status, headers=headers)

    def _content(self, content: bytes, **fields: str) -> Any:
        return self._models.Base64SecretContentDetails(content=base64.b64encode(content).decode(), **fields)


class SecretsWriter:
    """By boto3; what is text is stored as text."""

    def __init__(self, server: Aws) -> None:
        self._server = server
        self._client = server.client("secretsmanager")

    def create(self, content: bytes) -> str:
        name = _name()
        self._client.create_secret(Name=name, **_kept(content))
        return name

    def put(self, name: str, content: bytes, stage: Stage = Stage.CURRENT) -> None:
        self._client.put_secret_value(SecretId=name, VersionStages=[f"AWS{stage}"], **_kept(content))

    def pretend(self, status: int, **headers: str) -> None:
        self._server.fault("GetSecretValue", {"status": status, "headers": headers})


def _kept(content: bytes) -> dict[str, Any]:
    try:
        return {"SecretString": content.decode()} if b"\0" not in content else {"SecretBinary": content}
    except UnicodeDecodeError:
        return {"SecretBinary": content}


class ParameterWriter:
    """By boto3, as SecureStrings."""

    def __init__(self, server: Aws) -> None:
        self._server = server
        self._client = server.client("ssm")

    def create(self, content: bytes) -> str:
        name = f"/contract/{uuid.uuid4().hex}"
        self.put(name, content)
        return name

    def put(self, name: str, content: bytes, stage: Stage = Stage.CURRENT) -> None:
        assert stage is Stage.CURRENT
        self._client.put_parameter(Name=name, Value=content.decode(), Type="SecureString", Overwrite=True)

    def pretend(self, status: int, **headers: str) -> None:
        self._server.fault("GetParameter", {"status": status, "headers": headers})


@dataclass
class AwsSide:
    """One for all tests of a worker: botocore reads its models once a session."""

    identity: AwsIdentity
    secrets: SecretsWriter
    parameters: ParameterWriter

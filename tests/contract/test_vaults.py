"""The contract of every vault, tried on each of them: what vaults/interface.py promises."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta

import pytest

from keepstep.errors import ConfigError, Denied, NotFound, Transient
from keepstep.vaults.interface import Stage, Vault, VersionId
from keepstep.vaults.retrying import Retrying
from tests.contract.vault_backends import KINDS, VaultBackend
from tests.contract.vault_backends import _aws_side as _aws_side
from tests.contract.vault_backends import _vault_cloud as _vault_cloud
from tests.contract.vault_backends import vault_ground as vault_ground

STAGED = ("memory", "oci-vault", "aws-sm")
REMOTE = ("oci-vault", "aws-sm", "aws-ssm")
every = pytest.mark.parametrize("vault_ground", KINDS, indirect=True)
staged = pytest.mark.parametrize("vault_ground", STAGED, indirect=True)
remote = pytest.mark.parametrize("vault_ground", REMOTE, indirect=True)


async def content(vault: Vault, name: str, which: Stage | VersionId = Stage.CURRENT) -> bytes:
    return (await vault.get(name, which)).content.reveal_bytes()


@every
@pytest.mark.parametrize("value", [b"plain", b"ends with newlines\n\n", "ünïcødé 🦆".encode(), b' {"json": 1}\r\n'])
def test_what_was_stored_is_read(vault_ground: VaultBackend, value: bytes) -> None:
    """A secret is read byte for byte, white space at its ends and line breaks included."""
    name = vault_ground.writer.create(value)
    assert vault_ground.ask(lambda vault: content(vault, name)) == value


@staged
def test_bytes_that_are_no_text_are_read(vault_ground: VaultBackend) -> None:
    """Binary secrets with NULs come back as they were stored."""
    value = bytes(range(256)) + b"\0\0\n"
    name = vault_ground.writer.create(value)
    assert vault_ground.ask(lambda vault: content(vault, name)) == value


@every
def test_the_largest_secret_is_read(vault_ground: VaultBackend) -> None:
    """A secret as large as the vault takes (64 KiB in Secrets Manager, 25 KiB on OCI) arrives whole."""
    letters = random.Random(1).choices(b"abcdefghijklmnop", k=min(vault_ground.most, 65536))
    name = vault_ground.writer.create(bytes(letters))
    assert vault_ground.ask(lambda vault: content(vault, name)) == bytes(letters)


@every
def test_the_newest_version_is_current(vault_ground: VaultBackend) -> None:
    """After a change the new value is CURRENT and the old one PREVIOUS, also when asked for by its own id."""
    name = vault_ground.writer.create(b"first")
    first = vault_ground.ask(lambda vault: vault.get(name)).version.id
    vault_ground.writer.put(name, b"second")
    assert vault_ground.ask(lambda vault: content(vault, name)) == b"second"
    assert vault_ground.ask(lambda vault: content(vault, name, Stage.PREVIOUS)) == b"first"
    assert vault_ground.ask(lambda vault: content(vault, name, first)) == b"first"


@staged
def test_pending_waits(vault_ground: VaultBackend) -> None:
    """A pending version is had by its stage, and CURRENT stays what it was."""
    name = vault_ground.writer.create(b"old")
    vault_ground.writer.put(name, b"new", Stage.PENDING)
    assert vault_ground.ask(lambda vault: content(vault, name)) == b"old"
    assert vault_ground.ask(lambda vault: content(vault, name, Stage.PENDING)) == b"new"


@every
def test_versions_are_listed_newest_first(vault_ground: VaultBackend) -> None:
    """The list has every version with its stages and a present time, no content, the newest first."""
    name = vault_ground.writer.create(b"one")
    for value in (b"two", b"three"):
        # Secrets Manager tells versions of the same millisecond apart by nothing
        time.sleep(0.005)
        vault_ground.writer.put(name, value)
    versions = vault_ground.ask(lambda vault: vault.versions(name))
    assert [version.stages for version in versions[:2]] == [{Stage.CURRENT}, {Stage.PREVIOUS}]
    assert len(versions) == 2 if vault_ground.kind == "aws-sm" else len(versions) == 3
    now = datetime.now(UTC)
    assert all(version.created and abs(now - version.created) < timedelta(minutes=1) for version in versions)
    current = vault_ground.ask(lambda vault: vault.get(name)).version
    assert current.id == versions[0].id
    assert current.stages == {Stage.CURRENT}


@every
def test_what_is_not_there_is_not_found(vault_ground: VaultBackend) -> None:
    """A missing secret, stage or version is NotFound, and the message names it."""
    missing = vault_ground.missing
    name = vault_ground.writer.create(b"only one")
    ask = vault_ground.ask
    for work in (
        lambda vault: vault.get(missing),
        lambda vault: vault.versions(missing),
        lambda vault: vault.get(name, Stage.PREVIOUS),
        lambda vault: vault.get(name, Stage.PENDING),
        lambda vault: vault.get(name, VersionId("77")),
    ):
        with pytest.raises((NotFound, ConfigError), match=f"{missing}|{name}") as refusal:
            ask(work)
        assert "only one" not in str(refusal.value)


@remote
@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_transient(vault_ground: VaultBackend, status: int) -> None:
    """Throttling and faults of the service are Transient, and carry the pause that it asks for."""
    name = vault_ground.writer.create(b"value")
    vault_ground.writer.pretend(status, **{"retry-after": "7"})
    with pytest.raises(Transient) as refusal:
        vault_ground.ask(lambda vault: vault.get(name))
    assert refusal.value.retry_after == 7


@remote
def test_forbidden_is_no_outage(vault_ground: VaultBackend) -> None:
    """A 403 is Denied, with the statement that is missing; it is not asked again."""
    name = vault_ground.writer.create(b"value")
    vault_ground.writer.pretend(403)
    with pytest.raises(Denied) as refusal:
        vault_ground.ask(lambda vault: Retrying(vault).get(name))
    hint = refusal.value.hint or ""
    assert "read secret-bundles" in hint or '"Action": "s' in hint


@remote
def test_a_fault_that_passes_is_repeated(vault_ground: VaultBackend) -> None:
    """Retrying asks again, not before the time that the vault asked for."""
    name = vault_ground.writer.create(b"value")
    vault_ground.writer.pretend(503, **{"retry-after": "1"})
    began = time.monotonic()
    assert vault_ground.ask(lambda vault: content(Retrying(vault), name)) == b"value"
    assert 1 <= time.monotonic() - began < 10


@remote
def test_nobody_there_is_transient(vault_ground: VaultBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault whose address nobody answers at is away, not empty."""
    from tests.servers import free_port

    name = vault_ground.writer.create(b"value")
    for variable in ("OCI_ENDPOINT_URL", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    vault_ground.renew()
    with pytest.raises(Transient):
        vault_ground.ask(lambda vault: vault.get(name))


@remote
def test_wrong_keys_are_no_outage(vault_ground: VaultBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials at all are the user's to fix: authenticate raises ConfigError, before any secret."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "OCI_CLI_CONFIG_FILE"):
        monkeypatch.delenv(variable, raising=False)
    vault_ground.renew()
    with pytest.raises(ConfigError) as refusal:
        vault_ground.ask(lambda vault: vault.authenticate())
    assert refusal.value.hint

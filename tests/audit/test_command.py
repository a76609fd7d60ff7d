"""``keepstep audit verify``, as people and scripts run it: the log in S3, the key in Parameter Store."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from keepstep.audit.keys import Keyring
from keepstep.audit.log import AuditLog, name_of
from keepstep.clock import SystemClock
from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.oci import OciIdentity
from keepstep.stores.address import Address
from keepstep.stores.interface import Store
from keepstep.stores.oci import OciStore
from keepstep.stores.oci_client import OciClient
from keepstep.stores.s3 import S3Store
from keepstep.stores.s3_client import S3Client
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.aws_parameters import ParameterStoreVault
from keepstep_localcloud.faults import Faults
from keepstep_localcloud.server import LocalCloud
from tests.audit.worlds import facts
from tests.contract.conftest import _create_bucket
from tests.servers import Aws, program

SALT = "the-salt-of-the-audit-log-0123456789"


def write(bucket: str, namespace: str, key: str, job: str, count: int) -> None:
    """Entries as a rotation writes them, with the identities that the environment names."""

    async def main() -> None:
        identity, oci = AwsIdentity(), OciIdentity()
        log = S3Store(Address("s3", bucket=bucket, prefix=f"rotations/{job}/"), S3Client(bucket, identity))
        place = Address("oci", bucket=bucket, namespace=namespace, prefix=f"anchors/{job}/")
        anchor = OciStore(place, OciClient(bucket, namespace, oci))
        vault = ParameterStoreVault(identity)
        keyring = Keyring(vault, SecretAddress("aws-ssm", key))
        writer = AuditLog(job, log, keyring, SystemClock(), anchor=anchor)
        for number in range(count):
            await writer.append("intent", facts(number))
        closing: list[Store | ParameterStoreVault] = [log, anchor, vault]
        for each in closing:
            await each.close()

    asyncio.run(main())


@dataclass
class StoreBackend:
    """A log in S3, its anchor in OCI, its key in Parameter Store."""

    aws: Aws
    cloud: LocalCloud
    bucket: str
    folder: Path

    @property
    def log(self) -> str:
        return f"s3://{self.bucket}/rotations/"

    @property
    def anchor(self) -> str:
        return f"oci://{self.bucket}@{self.cloud.namespace}/anchors/"

    @property
    def key(self) -> str:
        return f"/{self.bucket}/salt"

    @property
    def client(self) -> Any:
        return self.aws.client("s3")

    def write(self, job: str, count: int, key: str = "") -> None:
        """As a rotation does."""
        write(self.bucket, self.cloud.namespace, key or self.key, job, count)

    def verify(self, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [program("keepstep", "keepstep"), "audit", "verify", *words]
        variables = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **self.cloud.env, **self.aws.env}
        return subprocess.run(
            command, env=variables | (env or {}), capture_output=True, text=True, cwd=self.folder, timeout=120
        )

    def place(self, job: str, sequence: int) -> str:
        return f"rotations/{job}/{name_of(sequence)}"


@pytest.fixture(scope="module")
def _oci() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture
def backend(moto: Aws, _oci: LocalCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StoreBackend:
    backend = StoreBackend(moto, _oci, f"audit-{uuid.uuid4().hex[:12]}", tmp_path)
    for name, value in (_oci.env | moto.env).items():
        monkeypatch.setenv(name, value)
    moto.client("s3").create_bucket(Bucket=backend.bucket)
    _create_bucket(_oci, backend.bucket)
    moto.client("ssm").put_parameter(Name=backend.key, Value=SALT, Type="SecureString")
    return backend


def test_intact_is_0_and_broken_is_1(backend: StoreBackend) -> None:
    """An intact log ends with 0; with an edited entry it ends with 1 and names it; the salt is never shown."""
    backend.write("app-db", 3)
    done = backend.verify(backend.log, "--key", f"aws-ssm:{backend.key}")
    assert (done.returncode, done.stdout) == (0, f"{backend.log}app-db/: intact, 3 entries\n"), done.stderr
    assert "anchor" in done.stderr
    place = backend.place("app-db", 2)
    body = backend.client.get_object(Bucket=backend.bucket, Key=place)["Body"].read()
    backend.client.put_object(Bucket=backend.bucket, Key=place, Body=body.replace(b"worker-1", b"worker-2"))
    done = backend.verify(backend.log, "--key", f"aws-ssm:{backend.key}", "--json")
    assert done.returncode == 1, done.stderr
    log = json.loads(done.stdout)["logs"][0]
    assert [(each["sequence"], each["kind"]) for each in log["problems"]] == [(2, "changed")]
    assert SALT not in done.stdout + done.stderr


def test_the_seed_s_variable_and_a_job_s_folder(backend: StoreBackend) -> None:
    """AUDIT_HASH_SALT_SSM names the key with or without aws-ssm:, and ADDRESS may be one job's folder."""
    backend.write("app-db", 2)
    for name in (backend.key, f"aws-ssm:{backend.key}"):
        done = backend.verify(f"{backend.log}app-db", env={"AUDIT_HASH_SALT_SSM": name})
        assert (done.returncode, done.stdout) == (0, f"{backend.log}app-db/: intact, 2 entries\n"), done.stderr


def test_the_configuration_knows_key_and_anchor(backend: StoreBackend) -> None:
    """Key, anchor and jobs come from keepstep.toml: a cut end and a log that is gone as a whole are seen."""
    backend.write("app-db", 3)
    backend.write("other-db", 1)
    job = 'kind = "rotate"\naws_secret = "a"\noci_secret = "b"\n'
    audit = f'audit = {{ log = "{backend.log}", key = "aws-ssm:{backend.key}", anchor = "{backend.anchor}" }}\n'
    toml = "".join(f"[job.{name}]\n{job}{audit}" for name in ("app-db", "other-db", "third-db"))
    (backend.folder / "keepstep.toml").write_text(toml)
    backend.write("third-db", 1)
    assert backend.verify(backend.log).returncode == 0
    for job, sequence in (("app-db", 3), ("other-db", 1)):
        backend.client.delete_object(Bucket=backend.bucket, Key=backend.place(job, sequence))
    done = backend.verify(backend.log, "--quiet")
    assert done.returncode == 1
    assert sorted(done.stdout.splitlines()) == [
        f"{backend.log}app-db/: entry 3 is missing",
        f"{backend.log}other-db/: entry 1 is missing",
    ]


def test_each_log_is_verified_with_its_own_key(backend: StoreBackend) -> None:
    """Jobs that write beneath one address may have different keys and anchors: neither log looks like a forgery."""
    other = f"{backend.key}-other"
    backend.aws.client("ssm").put_parameter(Name=other, Value=SALT[::-1], Type="SecureString")
    backend.write("app-db", 2)
    backend.write("other-db", 3, other)
    job = 'kind = "rotate"\naws_secret = "a"\noci_secret = "b"\n'
    toml = "".join(
        f'[job.{name}]\n{job}audit = {{ log = "{backend.log}", key = "{key}"{anchor} }}\n'
        for name, key, anchor in (
            ("app-db", backend.key, f', anchor = "{backend.anchor}"'),
            ("other-db", f"aws-ssm:{other}", ""),
        )
    )
    (backend.folder / "keepstep.toml").write_text(toml)
    done = backend.verify(backend.log)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{backend.log}other-db/: intact, 3 entries" in done.stdout
    assert f"{backend.log}app-db/: intact, 2 entries, anchored" in done.stdout


def test_a_job_s_folder_that_was_emptied_is_broken(backend: StoreBackend) -> None:
    """Its anchor tells of it; other jobs' logs, which the anchor knows too, are not looked for in that folder."""
    backend.write("app-db", 1)
    backend.write("other-db", 1)
    job = 'kind = "rotate"\naws_secret = "a"\noci_secret = "b"\n'
    audit = f'audit = {{ log = "{backend.log}", key = "{backend.key}", anchor = "{backend.anchor}" }}\n'
    (backend.folder / "keepstep.toml").write_text(f"[job.app-db]\n{job}{audit}")
    backend.client.delete_object(Bucket=backend.bucket, Key=backend.place("app-db", 1))
    done = backend.verify(f"{backend.log}app-db/", "--quiet")
    assert (done.returncode, done.stdout) == (1, f"{backend.log}app-db/: entry 1 is missing\n"), done.stderr


def test_what_is_missing_is_said(backend: StoreBackend) -> None:
    """Without a key, with a key that is not there, in a bucket that is not there: 5, with a hint, no traceback."""
    done = backend.verify(backend.log)
    assert done.returncode == 5
    assert "hint: --key" in done.stderr
    backend.write("app-db", 1)
    for words in (
        (backend.log, "--key", "aws-ssm:/no/such/salt"),
        ("s3://no-such-bucket-anywhere/rotations/", "--key", f"aws-ssm:{backend.key}"),
    ):
        done = backend.verify(*words)
        assert done.returncode == 5, done.stderr
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr


def test_nothing_there_is_broken(backend: StoreBackend) -> None:
    """An address that no job writes to and that has no entry is not a log."""
    done = backend.verify(backend.log, "--key", f"aws-ssm:{backend.key}")
    assert done.returncode == 1
    assert "there is no audit log at" in done.stderr


def test_killed_between_an_entry_and_its_anchor(backend: StoreBackend) -> None:
    """SIGKILL after the entry and before its anchor: 2, and it says why; the next entry makes it 0 again.

    What was cut off is found all the same, before and after that.
    """
    words = (backend.log, "--key", f"aws-ssm:{backend.key}", "--anchor", backend.anchor)
    backend.write("app-db", 2)
    killed_at_the_anchor(backend, "app-db")
    done = backend.verify(*words)
    assert (done.returncode, done.stdout.count("not certain, 3 entries")) == (2, 1), done.stdout + done.stderr
    assert "note: entry 3 is not in the anchor yet" in done.stderr
    kept = backend.client.get_object(Bucket=backend.bucket, Key=backend.place("app-db", 2))["Body"].read()
    backend.client.delete_object(Bucket=backend.bucket, Key=backend.place("app-db", 2))
    assert backend.verify(*words).returncode == 1
    backend.client.put_object(Bucket=backend.bucket, Key=backend.place("app-db", 2), Body=kept)
    backend.write("app-db", 1)
    done = backend.verify(*words)
    assert (done.returncode, done.stdout) == (0, f"{backend.log}app-db/: intact, 4 entries, anchored\n"), (
        done.stderr
    )
    backend.client.delete_object(Bucket=backend.bucket, Key=backend.place("app-db", 4))
    done = backend.verify(*words)
    assert done.returncode == 1 and "entry 4 is missing" in done.stdout


def killed_at_the_anchor(backend: StoreBackend, job: str) -> None:
    """A writer of one entry, killed while the anchor is on its way, which never arrives."""
    backend.cloud.fault("PutObject", match=f"anchors%2F{job}|anchors/{job}", latency_ms=600_000, status=503)
    given = (backend.bucket, backend.cloud.namespace, backend.key, job, 1)
    writer = multiprocessing.get_context("spawn").Process(target=write, args=given)
    writer.start()
    try:
        deadline = time.monotonic() + 60
        while not _is_met(backend.cloud):
            assert writer.is_alive() and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        writer.kill()
        writer.join()
        backend.cloud.clear_faults()


def _is_met(cloud: LocalCloud) -> bool:
    with urlopen(f"{cloud.endpoint}{Faults.PATH}", timeout=30) as answer:
        return any(fault["seen"] for fault in json.load(answer))

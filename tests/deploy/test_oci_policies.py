"""Each module's statements, and each document's, allow the job that they are for, and nothing beside it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keepstep.clouds.oci_service import OciService
from tests.database_servers.postgres import PostgresServer
from tests.deploy.oci_policies import in_document, in_module, superfluous
from tests.rotation.conftest import clouds as clouds
from tests.rotation.conftest import rotation_cloud as rotation_cloud
from tests.rotation.conftest import session_clouds as session_clouds
from tests.rotation.fixture import Clouds, Scene, called

KEY = "ocid1.key.oc1.iad.k"


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The operations of OCI that this process calls in the block."""
    seen: set[str] = set()
    call: Any = OciService.call

    async def noted(self: OciService, operation: str, *words: Any, **more: Any) -> Any:
        seen.add(operation)
        return await call(self, operation, *words, **more)

    with monkeypatch.context() as patched:
        patched.setattr(OciService, "call", noted)
        yield seen


def bucket(clouds: Clouds, name: str) -> str:
    import oci

    config = oci.config.from_file(str(clouds.cloud.config))
    client = oci.object_storage.ObjectStorageClient(config, service_endpoint=clouds.cloud.endpoint)
    details = oci.object_storage.models.CreateBucketDetails(name=name, compartment_id=clouds.cloud.tenancy)
    client.create_bucket(clouds.cloud.namespace, details)
    return name


@pytest.fixture
def rotation(clouds: Clouds, postgres_server: PostgresServer, tmp_path: Path) -> Rotation:
    return Rotation(clouds, postgres_server, tmp_path)


class Rotation:
    """A job with everything that a rotation can have: administrator, blob, audit log in OCI, key in OCI Vault."""

    def __init__(self, clouds: Clouds, server: PostgresServer, folder: Path) -> None:
        self.clouds = clouds
        self.folder = folder
        self.scene = Scene(clouds, [server])
        _, self.salt = clouds.create("a-salt-of-enough-length-for-hmac")
        blob, self.blob = clouds.create(json.dumps({"dsn": ""}))
        self.log = bucket(clouds, f"policies-{uuid.uuid4().hex[:10]}")
        self.scene.toml(
            folder,
            audit=f'{{ log = "oci://{self.log}@{clouds.cloud.namespace}/rotations/", key = "{self.salt}" }}',
            connection_blob=f'{{ aws = "{blob}", oci = "{self.blob}" }}',
        )

    def run(self, *words: str) -> tuple[int, str]:
        ran = called(self.clouds, self.folder, *words)
        return ran.returncode, ran.stdout + ran.stderr

    def has_pruned(self) -> bool:
        versions = self.clouds.vaults.list_secret_versions(self.scene.ocid).data
        return any(version.time_of_deletion for version in versions)

    def whole_life(self) -> None:
        """Rotates until old versions are pruned, rests once, and lets doctor look."""
        for _ in range(9):
            code, said = self.run("rotate", "--now")
            assert code == 0, said
        assert self.run("rotate")[0] == 0
        code, said = self.run("doctor", "--json")
        assert "NotAuthorizedOrNotFound" not in said


def test_the_rotation_module(rotation: Rotation, monkeypatch: pytest.MonkeyPatch) -> None:
    """oci-rotation: its statements are enough from the first rotation to pruning, and each of them is needed."""
    statements = in_module(
        "oci-rotation",
        {
            "local.group": "group g",
            "local.where": "compartment id c where",
            "local.read": [rotation.scene.ocid, rotation.blob, rotation.salt],
            "local.written": [rotation.scene.ocid, rotation.blob],
            "var.vault_key_ocid": KEY,
            "oci_objectstorage_bucket.audit.name": rotation.log,
            "oci_resource_scheduler_schedule.tick": [],
        },
    )
    with rotation.clouds.cloud.policy(*statements), recorded(monkeypatch) as seen:
        rotation.whole_life()
    assert rotation.has_pruned()
    assert superfluous(statements, seen) == []


def test_what_the_module_names_is_granted() -> None:
    """Whatever secret a variable of oci-rotation can name is in the list of those that may be read."""
    module = (Path(__file__).parents[2] / "deploy/tofu/oci-rotation/main.tf").read_text()
    variables = (Path(__file__).parents[2] / "deploy/tofu/oci-rotation/variables.tf").read_text()
    named = set(re.findall(r'variable "(\w+)"', variables))
    secrets = {
        name for name in named if name.endswith(("secret_ocid", "blob_ocid")) or name in ("audit_key", "config")
    }
    read = re.search(r"named = .*?\)\)\n", module, re.DOTALL)
    assert read
    assert set(re.findall(r"var\.(\w+)", read[0])) == secrets


@pytest.mark.parametrize("page", ["deploy/tofu/aws-rotation/README.md", "docs/rotation.md"])
def test_the_statements_of_documents(rotation: Rotation, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page says that a rotation needs is enough for one, with its blob and the secret alone."""
    values = {"compartment": "ops", "its compartment": "ops", "group": "group g", "the vault key": KEY}
    statements: list[str] = []
    for ocid in (rotation.scene.ocid, rotation.blob):
        statements += in_document(page, {**values, "secret": ocid})
    assert len(statements) >= 4
    statements += [
        f"allow group g to read secret-bundles in compartment ops where target.secret.id = '{rotation.salt}'",
        f"allow group g to manage objects in compartment ops where target.bucket.name = '{rotation.log}'",
    ]
    with rotation.clouds.cloud.policy(*statements):
        rotation.whole_life()
    assert rotation.has_pruned()


def test_without_a_right_nothing_is_staged(rotation: Rotation) -> None:
    """Where versions may not be listed a rotation stops before it has written anything, and names the statement."""
    statements = [
        "allow group g to read secret-bundles in tenancy",
        "allow group g to use secrets in tenancy",
        "allow group g to use keys in tenancy",
        "allow group g to manage objects in tenancy",
    ]
    with rotation.clouds.cloud.policy(*statements):
        code, said = rotation.run("rotate", "--now")
    assert code != 0
    assert "to inspect secret-versions in compartment" in said
    assert rotation.scene.is_in_step(1)


class MachineUnderTest:
    """A folder with a configuration as a module's, whose topic and configuration bucket are in the local OCI."""

    def __init__(self, clouds: Clouds, folder: Path) -> None:
        import oci

        self.clouds, self.folder = clouds, folder
        self.bucket = bucket(clouds, f"machine-{uuid.uuid4().hex[:10]}")
        config = oci.config.from_file(str(clouds.cloud.config))
        storage = oci.object_storage.ObjectStorageClient(config, service_endpoint=clouds.cloud.endpoint)
        storage.put_object(clouds.cloud.namespace, self.bucket, "machine/configuration.json", b"{}")
        topics = oci.ons.NotificationControlPlaneClient(config, service_endpoint=clouds.cloud.endpoint)
        details = oci.ons.models.CreateTopicDetails(name=self.bucket, compartment_id=clouds.cloud.tenancy)
        self.topic = str(topics.create_topic(details).data.topic_id)

    def configure(self, jobs: str) -> None:
        alerts = f'[alerts]\nurls = ["oci-notifications://{self.topic}"]\n'
        metrics = f'[metrics.oci]\ncompartment = "{self.clouds.cloud.tenancy}"\n'
        state = f'[state]\nurl = "sqlite:///{self.folder}/state.db"\n'
        (self.folder / "keepstep.toml").write_text(state + alerts + metrics + jobs)

    def run(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        ran = called(self.clouds, self.folder, *words)
        said: str = ran.stdout + ran.stderr
        assert ran.returncode in codes, said
        return said

    def fetches(self) -> None:
        """Its configuration, as deploy/machine/run does."""
        address = f"oci://{self.bucket}@{self.clouds.cloud.namespace}/machine/"
        self.run("sync", address, str(self.folder / "fetched"))
        assert (self.folder / "fetched" / "configuration.json").read_text() == "{}"

    def was_told(self) -> bool:
        log = self.clouds.cloud.directory / "notifications.jsonl"
        return self.topic in (log.read_text() if log.exists() else "")


def test_the_secrets_host_module(clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """oci-secrets-host: its statements are enough to fetch, deliver, drift, measure and alert; all are needed."""
    _, ocid = clouds.create("v1")
    machine = MachineUnderTest(clouds, tmp_path)
    statements = in_module(
        "oci-secrets-host",
        {
            "local.ocids": [ocid],
            "local.host": "group host",
            "local.where_secrets": "compartment id v where",
            "local.where": "compartment id c where",
            "oci_objectstorage_bucket.configuration.name": machine.bucket,
        },
    )
    assert len(statements) == 4
    (tmp_path / "map.csv").write_text(f"{ocid},{tmp_path}/secret,0600\n")
    (tmp_path / "folder.csv").write_text(f"{ocid},{tmp_path}/folder,0600\n")
    (tmp_path / "folder").mkdir()
    machine.configure(
        f'[job.host]\nkind = "secrets"\nmap = "{tmp_path}/map.csv"\n'
        f'[job.broken]\nkind = "secrets"\nmap = "{tmp_path}/folder.csv"\n'
    )
    with clouds.cloud.policy(*statements), recorded(monkeypatch) as seen:
        machine.fetches()
        assert "warning: OCI" not in machine.run("secrets", "apply", "host", codes=(3,))
        machine.run("secrets", "apply", "host")
        machine.run("secrets", "drift", "host")
        machine.run("secrets", "apply", "broken", codes=(1, 2, 5))
        assert "NotAuthorizedOrNotFound" not in machine.run("doctor", "--json", codes=(0, 1, 2, 3, 4, 5))
    assert machine.was_told()
    assert superfluous(statements, seen) == []


def test_the_cost_reports_module(clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """oci-cost-reports: its statements are enough to fetch, copy, measure, alert and doctor, and all are needed."""
    _, ocid = clouds.create("key")
    machine = MachineUnderTest(clouds, tmp_path)
    statements = in_module(
        "oci-cost-reports",
        {
            "oci_identity_group.reports.name": "reports",
            "local.machine": "group machine",
            "local.where": "compartment id c where",
            "local.compartment": "c",
            "values(local.delivered)": [ocid],
            "local.is_injected ? [] : [oci_objectstorage_bucket.configuration.name]": [machine.bucket],
            "oci_kms_key.this.id": KEY,
        },
    )
    ours = [text for text in statements if "allow service" not in text]
    assert len(ours) == 5 and len(statements) == 6
    source, target = f"oci://{clouds.cloud.tenancy}@bling/", tmp_path / "reports"
    machine.configure(
        f'[job.reports]\nkind = "sync"\nsource = "{source}"\ntarget = "{target}"\n'
        f'[job.broken]\nkind = "sync"\nsource = "{tmp_path}/none"\ntarget = "{target}"\n'
    )
    (tmp_path / "map.csv").write_text(f"{ocid},{tmp_path}/key,0600\n")
    with clouds.cloud.policy(*ours), recorded(monkeypatch) as seen:
        machine.fetches()
        machine.run("secrets", "apply", "map.csv", codes=(3,))
        for _ in range(2):
            assert "warning: OCI" not in machine.run("sync", "reports", codes=(0, 4))
        machine.run("sync", "broken", codes=(5,))
        assert "NotAuthorizedOrNotFound" not in machine.run("doctor", "--json", codes=(0, 1, 2, 3, 4, 5))
    assert machine.was_told()
    assert superfluous(ours, seen) == []
    with clouds.cloud.policy("allow group reports to read objects in tenancy"):
        refused = called(clouds, tmp_path, "sync", source, str(tmp_path / "reports"))
    assert refused.returncode not in (0, 4)


@pytest.mark.parametrize("kind", ["source", "target", "delete"])
def test_the_statements_of_a_sync(
    clouds: Clouds, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/sync.md: reading, writing (new, changed, in parts) and deleting need all that the page says."""
    name = bucket(clouds, f"sync-{uuid.uuid4().hex[:10]}")
    [read, write, delete] = in_document(
        "docs/sync.md", {"group": "group g", "its compartment": "c", "bucket": name}
    )
    address, local = f"oci://{name}@{clouds.cloud.namespace}/", tmp_path / "local"
    local.mkdir()
    (local / "small").write_text("1")
    (local / "large").write_bytes(b"1" * (17 << 20))
    if kind == "source":
        assert called(clouds, tmp_path, "sync", str(local), address).returncode == 0
    statements = {"source": [read], "target": [write], "delete": [write, delete]}[kind]
    with clouds.cloud.policy(*statements), recorded(monkeypatch) as seen:
        if kind == "source":
            runs = [["sync", address, str(tmp_path / "there")], ["verify", address, str(tmp_path / "there")]]
        else:
            runs = [["sync", str(local), address], ["sync", str(local), address]]
        for words in runs:
            ran = called(clouds, tmp_path, *words)
            assert ran.returncode == 0, ran.stderr
        if kind != "source":
            (local / "small").write_text("22")
            ran = called(clouds, tmp_path, "sync", str(local), address)
            assert ran.returncode == 0, ran.stderr
        if kind == "delete":
            (local / "small").unlink()
            ran = called(clouds, tmp_path, "sync", "--delete", str(local), address)
            assert ran.returncode == 0, ran.stderr
            assert "DeleteObject" in " ".join(seen), seen
    assert superfluous(statements, seen) == []

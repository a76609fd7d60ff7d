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


def test_the_secrets_host_module(clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """oci-secrets-host: its machine delivers its secrets and sees their drift, by its statements alone."""
    _, ocid = clouds.create("v1")
    statements = in_module(
        "oci-secrets-host",
        {
            "distinct([for secret in var.secrets : secret.ocid])": [ocid],
            "oci_identity_dynamic_group.host.name": "host",
            "var.compartment_ocid": "c",
        },
    )
    (tmp_path / "map.csv").write_text(f"{ocid},{tmp_path}/secret,0600\n")
    with clouds.cloud.policy(*statements), recorded(monkeypatch) as seen:
        applied = called(clouds, tmp_path, "secrets", "apply", "map.csv")
        assert applied.returncode == 3, applied.stderr
        drift = called(clouds, tmp_path, "secrets", "drift", "map.csv")
        assert drift.returncode == 0, drift.stderr
    assert superfluous(statements, seen) == []


def test_the_cost_reports_module(clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """oci-cost-reports: its endorsement lets cost reports be read, and without it nothing is."""
    statements = in_module(
        "oci-cost-reports",
        {
            "oci_identity_group.reports.name": "reports",
            "oci_identity_dynamic_group.machine[0].name": "machine",
            "var.compartment_ocid": "c",
            "values(local.delivered)": ["ocid1.vaultsecret.oc1.iad.aaaa"],
            "oci_kms_key.this.id": KEY,
        },
    )
    endorsements = [text for text in statements if text.startswith("endorse")]
    source = f"oci://{clouds.cloud.tenancy}@bling/"
    with clouds.cloud.policy(*endorsements), recorded(monkeypatch) as seen:
        ran = called(clouds, tmp_path, "sync", source, str(tmp_path / "reports"))
    assert ran.returncode in (0, 4), ran.stderr
    assert "needs" not in ran.stderr
    assert superfluous(endorsements, seen | {"GetObject"}) == []
    with clouds.cloud.policy("allow group reports to read objects in tenancy"):
        refused = called(clouds, tmp_path, "sync", source, str(tmp_path / "reports"))
    assert refused.returncode not in (0, 4)

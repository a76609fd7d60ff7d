"""The same folder is the same cloud: after a restart, and after SIGKILL in the middle of everything."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import oci
from oci.object_storage import models as m

from keepstep_localcloud.server import LocalCloud
from tests.localcloud.conftest import object_storage
from tests.localcloud.rawclient import RawClient
from tests.localcloud.test_uploads import Upload


def test_a_restart_changes_nothing(alone: Callable[..., LocalCloud]) -> None:
    """Address, tenancy, keys, buckets, objects, uploads, rules and sessions are what they were."""
    cloud = alone()
    client, place = object_storage(cloud), (cloud.namespace, "kept")
    client.create_bucket(cloud.namespace, m.CreateBucketDetails(name="kept", compartment_id=cloud.tenancy))
    small, large = b"small", os.urandom(200_000)
    etags = [client.put_object(*place, str(len(each)), each).headers["etag"] for each in (small, large)]
    upload = Upload(client, *place, "unfinished")
    upload.part(1, large)
    rule = client.create_retention_rule(*place, m.CreateRetentionRuleDetails(display_name="hold")).data.id
    before = (
        cloud.endpoint,
        cloud.facts,
        cloud.config.read_text(),
        client.list_objects(*place, fields="md5,etag").data,
    )
    assert cloud.stop() == 0
    cloud.start()
    after = (
        cloud.endpoint,
        cloud.facts,
        cloud.config.read_text(),
        client.list_objects(*place, fields="md5,etag").data,
    )
    assert after == before
    for etag, content in zip(etags, (small, large), strict=True):
        found = client.get_object(*place, str(len(content)))
        assert (found.data.content, found.headers["etag"]) == (content, etag)
    client.delete_retention_rule(*place, rule)
    upload.part(2, b"end")
    upload.commit()
    assert client.get_object(*place, "unfinished").data.content == large + b"end"


def test_a_kill_loses_nothing_that_was_answered(alone: Callable[..., LocalCloud]) -> None:
    """Killed while four clients write, it comes back with every answered write whole, and no stray file."""
    cloud = alone()
    raw = RawClient(cloud)
    path = f"/n/{cloud.namespace}/b/kill"
    raw.call("POST", f"/n/{cloud.namespace}/b", b'{"name": "kill", "compartmentId": "c"}')
    answered: dict[str, bytes] = {}
    begun: dict[str, set[bytes]] = {}

    def write(worker: int) -> None:
        number = 0
        while True:
            number += 1
            # Every third write replaces an object, small or large: what was there before must not be lost either.
            name = f"{worker}-{number % 3 and number}"
            content = b"%d." % number * (30_000 if number % 2 else 10)
            begun.setdefault(name, set()).add(content)
            try:
                assert raw.put(f"{path}/o/{name}", content).status == 200
            except OSError:
                return
            answered[name] = content

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while len(answered) <= 60 and time.monotonic() < deadline:
        time.sleep(0.05)
    cloud.kill()
    for thread in threads:
        thread.join()
    cloud.start()
    assert len(answered) > 40
    for name, content in answered.items():
        found = raw.call("GET", f"{path}/o/{name}")
        assert found.status == 200
        assert found.body == content or (name.endswith("-0") and found.body in begun[name])
    listed = {each["name"] for each in raw.call("GET", f"{path}/o").json()["objects"]}
    assert answered.keys() <= listed <= begun.keys()
    assert files(cloud.directory) == blobs(cloud.directory)


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "contents").iterdir()}


def blobs(folder: Path) -> set[str]:
    """The contents that the database says lie in files."""
    with sqlite3.connect(folder / "oci.db") as database:
        return {str(number) for (number,) in database.execute("select id from blob where data is null")}


def test_a_copy_goes_on_after_a_kill(alone: Callable[..., LocalCloud]) -> None:
    """A copy that was accepted before a kill is made at the next start."""
    cloud = alone()
    client, place = object_storage(cloud), (cloud.namespace, "copies")
    client.create_bucket(cloud.namespace, m.CreateBucketDetails(name="copies", compartment_id=cloud.tenancy))
    client.put_object(*place, "a", b"1")
    details = m.CopyObjectDetails(
        source_object_name="a",
        destination_object_name="b",
        destination_bucket="copies",
        destination_namespace=cloud.namespace,
        destination_region="us-ashburn-1",
    )
    number = client.copy_object(*place, details).headers["opc-work-request-id"]
    cloud.kill()
    cloud.start()
    assert client.get_work_request(number).data.status == "COMPLETED"
    assert client.get_object(*place, "b").data.content == b"1"


def test_secrets_are_kept(alone: Callable[..., LocalCloud]) -> None:
    """A secret outlives the process that took it, its etag too."""
    cloud = alone()
    config = oci.config.from_file(str(cloud.config))
    vaults = oci.vault.VaultsClient(config, service_endpoint=cloud.endpoint)
    content = oci.vault.models.Base64SecretContentDetails(content="c2VjcmV0")
    details = oci.vault.models.CreateSecretDetails(
        compartment_id=cloud.tenancy, vault_id="v", key_id="k", secret_name="kept", secret_content=content
    )
    made = vaults.create_secret(details)
    cloud.kill()
    cloud.start()
    bundle = oci.secrets.SecretsClient(config, service_endpoint=cloud.endpoint).get_secret_bundle(made.data.id).data
    assert bundle.secret_bundle_content.content == "c2VjcmV0"
    assert vaults.get_secret(made.data.id).headers["etag"] == made.headers["etag"]

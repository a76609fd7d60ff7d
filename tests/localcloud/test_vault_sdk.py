"""OCI Vault as the official SDK sees it: ``oci.vault.VaultsClient`` and ``oci.secrets.SecretsClient``."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import oci
import pytest
from oci.secrets import SecretsClient
from oci.vault import VaultsClient, VaultsClientCompositeOperations
from oci.vault import models as m

from keepstep_localcloud.server import LocalCloud


def content(text: str, **fields: str) -> Any:
    return m.Base64SecretContentDetails(content=base64.b64encode(text.encode()).decode(), **fields)


class Vault:
    """One vault of its own for each test, and both clients; the SDK's retries are off."""

    def __init__(self, cloud: LocalCloud, name: str) -> None:
        config = oci.config.from_file(str(cloud.config))
        options = {"service_endpoint": cloud.endpoint, "retry_strategy": oci.retry.NoneRetryStrategy()}
        self.id = f"ocid1.vault.oc1.iad.{name}"
        self.compartment = f"ocid1.compartment.oc1..{name}"
        self.manage = VaultsClient(config, **options)
        self.read = SecretsClient(config, **options)

    def details(self, name: str = "db", text: str = "one", **fields: Any) -> Any:
        given = {"secret_content": content(text)} | fields
        return m.CreateSecretDetails(
            compartment_id=self.compartment, vault_id=self.id, key_id="ocid1.key.oc1..k", secret_name=name, **given
        )

    def create(self, name: str = "db", text: str = "one", **fields: Any) -> Any:
        return self.manage.create_secret(self.details(name, text, **fields))

    def update(self, secret_id: str, if_match: str | None = None, **fields: Any) -> Any:
        return self.manage.update_secret(secret_id, m.UpdateSecretDetails(**fields), if_match=if_match)

    def text(self, secret_id: str, **selector: Any) -> str:
        bundle = self.read.get_secret_bundle(secret_id, **selector).data
        return base64.b64decode(bundle.secret_bundle_content.content).decode()

    def stages(self, secret_id: str) -> dict[int, list[str]]:
        return {v.version_number: v.stages for v in self.manage.list_secret_versions(secret_id).data}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def vault(cloud: LocalCloud, request: pytest.FixtureRequest) -> Vault:
    return Vault(cloud, request.node.name)


def refusal(raised: pytest.ExceptionInfo[oci.exceptions.ServiceError]) -> tuple[int, str]:
    return raised.value.status, raised.value.code


def test_a_rotation_as_keepstep_does_it(vault: Vault) -> None:
    """Stage PENDING with an etag and a name, read it, promote it by number, delete the oldest, roll back."""
    made = vault.create().data
    etag = vault.manage.get_secret(made.id).headers["etag"]
    staged = vault.update(made.id, etag, secret_content=content("two", stage="PENDING", name="rot-g2"))
    assert vault.text(made.id) == "one"
    assert vault.text(made.id, stage="PENDING") == vault.text(made.id, secret_version_name="rot-g2") == "two"
    promoted = vault.update(made.id, staged.headers["etag"], current_version_number=2)
    assert promoted.data.current_version_number == 2
    assert vault.text(made.id) == "two"
    assert vault.stages(made.id) == {1: ["PREVIOUS"], 2: ["CURRENT", "LATEST"]}
    vault.update(made.id, current_version_number=1)
    assert vault.text(made.id) == "one"
    assert vault.text(made.id, version_number=2) == vault.text(made.id, stage="PREVIOUS") == "two"


def test_an_etag_that_was_overtaken_is_refused(vault: Vault) -> None:
    """Adding a version changes the secret's etag, so a second writer with the first one's etag gets 412."""
    made = vault.create()
    etag = made.headers["etag"]
    vault.update(made.data.id, etag, secret_content=content("two", stage="PENDING"))
    with pytest.raises(oci.exceptions.ServiceError) as raised:
        vault.update(made.data.id, etag, secret_content=content("three"))
    assert refusal(raised) == (412, "NoEtagMatch")
    assert vault.text(made.data.id) == "one"


def test_a_version_name_is_a_fence(vault: Vault) -> None:
    """A content update that is repeated under its name is 400 ``name already exists``, and adds nothing."""
    made = vault.create().data
    vault.update(made.id, secret_content=content("two", name="rot-g2"))
    with pytest.raises(oci.exceptions.ServiceError, match="name already exists") as raised:
        vault.update(made.id, secret_content=content("two", name="rot-g2"))
    assert refusal(raised) == (400, "InvalidParameter")
    assert len(vault.stages(made.id)) == 2


def test_every_detail_comes_back(vault: Vault) -> None:
    """What a secret is created with is what GetSecret, ListSecrets and the bundle show."""
    details: dict[str, Any] = {
        "description": "the database",
        "freeform_tags": {"team": "data"},
        "defined_tags": {"Operations": {"CostCenter": "42"}},
        "metadata": {"host": "db.example.com"},
        "secret_rules": [
            m.SecretReuseRule(is_enforced_on_deleted_secret_versions=True),
            m.SecretExpiryRule(
                secret_version_expiry_interval="P30D", is_secret_content_retrieval_blocked_on_expiry=True
            ),
        ],
    }
    made = vault.create(**details).data
    got = vault.manage.get_secret(made.id).data
    assert got == made
    assert {name: getattr(got, name) for name in details} == details
    assert (got.vault_id, got.key_id, got.secret_name) == (vault.id, "ocid1.key.oc1..k", "db")
    assert got.time_of_current_version_expiry - got.time_created == timedelta(days=30)
    [summary] = vault.manage.list_secrets(vault.compartment).data
    assert (summary.id, summary.description, summary.rotation_status) == (made.id, "the database", "NOT_ENABLED")
    bundle = vault.read.get_secret_bundle(made.id).data
    assert (bundle.metadata, bundle.time_of_expiry) == (details["metadata"], got.time_of_current_version_expiry)


def test_a_bundle_by_name(vault: Vault) -> None:
    """getByName takes its parameters from the query, and selects like get does."""
    made = vault.create().data
    vault.update(made.id, secret_content=content("two", name="next"))
    by_name = vault.read.get_secret_bundle_by_name
    assert by_name("db", vault.id).data == vault.read.get_secret_bundle(made.id).data
    assert by_name("db", vault.id, version_number=1).data.version_number == 1
    assert by_name("db", vault.id, secret_version_name="next").data.stages == ["CURRENT", "LATEST"]
    with pytest.raises(oci.exceptions.ServiceError) as raised:
        by_name("db", "ocid1.vault.oc1.iad.elsewhere")
    assert refusal(raised) == (404, "NotAuthorizedOrNotFound")


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_lists_come_in_pages(vault: Vault, order: str) -> None:
    """Every secret and every version is on exactly one page, in order, however small the pages."""
    made = [vault.create(name).data for name in ("a", "b", "c", "d", "e")]
    for number in range(4):
        vault.update(made[0].id, secret_content=content(f"content {number}"))
    everything = oci.pagination.list_call_get_all_results
    secrets = everything(
        vault.manage.list_secrets, vault.compartment, limit=2, sort_by="NAME", sort_order=order
    ).data
    assert [s.secret_name for s in secrets] == sorted("abcde", reverse=order == "DESC")
    for call in (vault.manage.list_secret_versions, vault.read.list_secret_bundle_versions):
        versions = everything(call, made[0].id, limit=2, sort_order=order).data
        assert [v.version_number for v in versions] == sorted(range(1, 6), reverse=order == "DESC")


FILTERS = [
    ({}, ["a", "b", "gone"]),
    ({"name": "b"}, ["b"]),
    ({"lifecycle_state": "PENDING_DELETION"}, ["gone"]),
    ({"lifecycle_state": "ACTIVE", "name": "gone"}, []),
    ({"vault_id": "ocid1.vault.oc1.iad.elsewhere"}, []),
    ({"sort_by": "TIMECREATED", "sort_order": "ASC", "limit": 1}, ["a"]),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
def test_secrets_are_filtered(vault: Vault, filters: dict[str, Any], expected: list[str]) -> None:
    """ListSecrets gives those of the compartment that match every parameter."""
    for name in ("a", "b", "gone"):
        made = vault.create(name).data
    vault.manage.schedule_secret_deletion(made.id, m.ScheduleSecretDeletionDetails())
    found = vault.manage.list_secrets(vault.compartment, **filters).data
    assert sorted(secret.secret_name for secret in found) == expected


def test_version_numbers_and_default_order(vault: Vault) -> None:
    """Versions are listed from the newest to the oldest, and one can be had alone."""
    made = vault.create(secret_content=content("one", name="first")).data
    vault.update(made.id, secret_content=content("two"))
    assert list(vault.stages(made.id)) == [2, 1]
    version = vault.manage.get_secret_version(made.id, 1).data
    assert (version.version_number, version.name, version.content_type) == (1, "first", "BASE64")
    with pytest.raises(oci.exceptions.ServiceError) as raised:
        vault.manage.get_secret_version(made.id, 3)
    assert refusal(raised) == (404, "NotAuthorizedOrNotFound")


def test_a_version_is_deleted_and_restored(vault: Vault) -> None:
    """A DEPRECATED version that is pending deletion cannot be read; when that is cancelled, it can."""
    made = vault.create().data
    for text in ("two", "three"):
        vault.update(made.id, secret_content=content(text))
    when = datetime.now(UTC) + timedelta(days=2)
    vault.manage.schedule_secret_version_deletion(
        made.id, 1, m.ScheduleSecretVersionDeletionDetails(time_of_deletion=when)
    )
    shown = vault.manage.get_secret_version(made.id, 1).data.time_of_deletion
    assert abs(shown - when) < timedelta(milliseconds=1)
    with pytest.raises(oci.exceptions.ServiceError) as raised:
        vault.text(made.id, version_number=1)
    assert refusal(raised) == (404, "NotAuthorizedOrNotFound")
    vault.manage.cancel_secret_version_deletion(made.id, 1)
    assert vault.text(made.id, version_number=1) == "one"


def test_a_secret_is_deleted_and_restored(vault: Vault) -> None:
    """A secret pending deletion is shown, holds its name and cannot be read; when that is cancelled, it can."""
    made = vault.create().data
    vault.manage.schedule_secret_deletion(made.id, m.ScheduleSecretDeletionDetails())
    shown = vault.manage.get_secret(made.id).data
    assert shown.lifecycle_state == "PENDING_DELETION"
    assert timedelta(days=29) < shown.time_of_deletion - datetime.now(UTC) <= timedelta(days=30)
    refusals: list[tuple[Callable[[], Any], tuple[int, str]]] = [
        (lambda: vault.text(made.id), (404, "NotAuthorizedOrNotFound")),
        (lambda: vault.read.list_secret_bundle_versions(made.id), (404, "NotAuthorizedOrNotFound")),
        (lambda: vault.create(), (400, "InvalidParameter")),
        (lambda: vault.update(made.id, description="x"), (409, "IncorrectState")),
    ]
    for refused, answer in refusals:
        with pytest.raises(oci.exceptions.ServiceError) as raised:
            refused()
        assert refusal(raised) == answer
    vault.manage.cancel_secret_deletion(made.id)
    assert vault.text(made.id) == "one"


def test_a_retried_create(vault: Vault) -> None:
    """One retry token makes one secret; for another body it is 409 InvalidatedRetryToken."""
    token = f"token-of-{vault.id}"
    first, again = (vault.manage.create_secret(vault.details(), opc_retry_token=token) for _ in range(2))
    assert first.data == again.data
    assert first.headers["etag"] == again.headers["etag"]
    with pytest.raises(oci.exceptions.ServiceError) as raised:
        vault.manage.create_secret(vault.details("web"), opc_retry_token=token)
    assert refusal(raised) == (409, "InvalidatedRetryToken")


def test_a_secret_moves_to_another_compartment(vault: Vault) -> None:
    """After the move the secret is listed there, and no longer here."""
    made = vault.create().data
    other = vault.compartment + ".other"
    vault.manage.change_secret_compartment(made.id, m.ChangeSecretCompartmentDetails(compartment_id=other))
    assert vault.manage.list_secrets(vault.compartment).data == []
    assert [secret.id for secret in vault.manage.list_secrets(other).data] == [made.id]


def test_rotation_by_oci_itself_is_visible(vault: Vault) -> None:
    """A rotation config, a rotation under way and its end show in the secret: a second rotator is noticed."""
    config = m.RotationConfig(
        target_system_details=m.FunctionTargetSystemDetails(function_id="ocid1.fnfunc.oc1..f"),
        rotation_interval="P30D",
        is_scheduled_rotation_enabled=True,
    )
    made = vault.create(rotation_config=config).data
    assert (made.rotation_status, made.rotation_config) == ("SCHEDULED", config)
    vault.manage.rotate_secret(made.id)
    assert vault.manage.get_secret(made.id).data.rotation_status == "IN_PROGRESS"
    vault.manage.cancel_secret_rotation(made.id)
    ended = vault.manage.get_secret(made.id).data
    assert (ended.rotation_status, ended.rotation_config.is_scheduled_rotation_enabled) == ("NOT_ENABLED", False)


def test_a_plain_secret_cannot_be_rotated_by_oci(vault: Vault) -> None:
    """RotateSecret "expects secret to have a valid Target System Details object"."""
    made = vault.create().data
    with pytest.raises(oci.exceptions.ServiceError, match="targetSystemDetails") as raised:
        vault.manage.rotate_secret(made.id)
    assert refusal(raised) == (400, "InvalidParameter")


BAD_CALLS = [
    ("no content", lambda v: v.create(secret_content=None), (400, "MissingParameter")),
    ("no name", lambda v: v.create(name=None), (400, "MissingParameter")),
    (
        "first version PENDING",
        lambda v: v.create(secret_content=content("x", stage="PENDING")),
        (400, "InvalidParameter"),
    ),
    ("name with a slash", lambda v: v.create("a/b"), (400, "InvalidParameter")),
    ("page of another service", lambda v: v.manage.list_secrets("c", page="x"), (400, "InvalidParameter")),
    ("limit 0", lambda v: v.manage.list_secrets("c", limit=0), (400, "InvalidParameter")),
    (
        "unknown secret",
        lambda v: v.manage.get_secret("ocid1.vaultsecret.oc1.iad.none"),
        (404, "NotAuthorizedOrNotFound"),
    ),
    ("unknown bundle", lambda v: v.text("ocid1.vaultsecret.oc1.iad.none"), (404, "NotAuthorizedOrNotFound")),
    (
        "number that is none",
        lambda v: v.manage.get_secret_version(v.create().data.id, "x"),
        (404, "InvalidParameter"),
    ),
]


@pytest.mark.parametrize(("call", "answer"), [row[1:] for row in BAD_CALLS], ids=[row[0] for row in BAD_CALLS])
def test_bad_calls(vault: Vault, call: Any, answer: tuple[int, str]) -> None:
    """A call that cannot be answered gets OCI's status, its code and an ``opc-request-id``."""
    with pytest.raises(oci.exceptions.ServiceError) as raised:
        call(vault)
    assert refusal(raised) == answer
    assert raised.value.request_id


@pytest.fixture
def slow(cloud: LocalCloud) -> Iterator[None]:
    """Changes take a second."""

    def settle(milliseconds: int) -> None:
        urlopen(f"{cloud.endpoint}/_localcloud/vault", json.dumps({"settleMs": milliseconds}).encode()).close()

    settle(1000)
    yield
    settle(0)


@pytest.mark.usefixtures("slow")
def test_waiters_see_every_state(vault: Vault) -> None:
    """With changes that take time, the SDK's waiters end in the state they wait for, and a hasty change is 409."""
    operations = VaultsClientCompositeOperations(vault.manage)
    often = {"max_interval_seconds": 1}
    made = vault.create().data
    assert made.lifecycle_state == "CREATING"
    with pytest.raises(oci.exceptions.ServiceError, match="CREATING") as raised:
        vault.update(made.id, description="x")
    assert refusal(raised) == (409, "IncorrectState")
    oci.wait_until(vault.manage, vault.manage.get_secret(made.id), "lifecycle_state", "ACTIVE", **often)
    details = m.UpdateSecretDetails(secret_content=content("two"))
    updated = operations.update_secret_and_wait_for_state(made.id, details, ["ACTIVE"], waiter_kwargs=often)
    assert (updated.data.lifecycle_state, updated.data.current_version_number) == ("ACTIVE", 2)


def test_a_lost_reply_leaves_the_version(cloud: LocalCloud, vault: Vault) -> None:
    """When the answer to an update is lost, the version is there under its name, and a blind retry is refused."""
    made = vault.create().data
    cloud.fault("UpdateSecret", match=made.id, lose_reply=True)
    staged = content("two", stage="PENDING", name="rot-g2")
    with pytest.raises(oci.exceptions.RequestException):
        vault.update(made.id, secret_content=staged)
    assert vault.text(made.id, secret_version_name="rot-g2") == "two"
    with pytest.raises(oci.exceptions.ServiceError, match="name already exists"):
        vault.update(made.id, secret_content=staged)


def test_a_lost_reply_to_create_is_repeated(cloud: LocalCloud, vault: Vault) -> None:
    """The SDK's own retry of CreateSecret, under one token, makes one secret."""
    cloud.fault("CreateSecret", lose_reply=True)
    retrying = oci.retry.RetryStrategyBuilder(
        max_attempts=3, retry_max_wait_between_calls_seconds=0.1
    ).get_retry_strategy()
    made = vault.manage.create_secret(vault.details(), retry_strategy=retrying).data
    assert [secret.id for secret in vault.manage.list_secrets(vault.compartment).data] == [made.id]


def test_a_stale_bundle(cloud: LocalCloud, vault: Vault) -> None:
    """A fault makes one read answer as of before the last write; the next one is fresh."""
    made = vault.create().data
    vault.update(made.id, secret_content=content("two"))
    cloud.fault("GetSecretBundle", match=made.id, stale=True)
    assert [vault.text(made.id) for _ in range(2)] == ["one", "two"]


def test_secrets_outlive_a_kill(tmp_path: Path) -> None:
    """What was answered is there after SIGKILL, the etag too, in files that only their owner can read."""
    cloud = LocalCloud(tmp_path)
    try:
        vault = Vault(cloud.start(), "kill")
        made = vault.manage.create_secret(vault.details(), opc_retry_token="once").data
        vault.update(made.id, secret_content=content("two"))
        etag = vault.manage.get_secret(made.id).headers["etag"]
        cloud.kill()
        vault = Vault(cloud.start(), "kill")
        assert vault.text(made.id) == "two"
        assert vault.stages(made.id) == {1: ["PREVIOUS"], 2: ["CURRENT", "LATEST"]}
        assert vault.manage.create_secret(vault.details(), opc_retry_token="once").data.id == made.id
        assert vault.update(made.id, etag, secret_content=content("three")).data.current_version_number == 3
        secret = content("two").content.encode()
        holders = [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]
        assert holders
        assert all(path.stat().st_mode & 0o077 == 0 for path in holders)
    finally:
        cloud.stop()

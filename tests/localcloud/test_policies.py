"""OCI's policy statements, evaluated by the local OCI for the official SDK's requests."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from keepstep.vaults.oci_errors import GRANTS as HINTS
from keepstep_localcloud import vault
from keepstep_localcloud.errors import ConfigError
from keepstep_localcloud.permissions import FAMILIES, GRANTS, NEEDS, VERBS, granted_by
from keepstep_localcloud.policies import parse_policy, parse_statement
from keepstep_localcloud.server import LocalCloud

oci = pytest.importorskip("oci")


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def storage(cloud: LocalCloud) -> Any:
    config = oci.config.from_file(str(cloud.config))
    client = oci.object_storage.ObjectStorageClient(config, service_endpoint=cloud.endpoint)
    details = oci.object_storage.models.CreateBucketDetails(name="b", compartment_id=cloud.tenancy)
    client.create_bucket(cloud.namespace, details)
    client.put_object(cloud.namespace, "b", "there", b"1")
    return client


def is_allowed(work: Any, *words: Any, **more: Any) -> bool:
    """False where the service says 404 with what is missing; anything else is raised."""
    try:
        work(*words, **more)
    except oci.exceptions.ServiceError as exc:
        if exc.status == 404 and " needs " in str(exc.message):
            return False
        raise
    return True


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ([], set()),
        (["allow group g to inspect objects in tenancy"], {"list"}),
        (["allow group g to read objects in tenancy"], {"list", "get"}),
        (["allow group g to use objects in tenancy"], {"list", "get"}),
        (["allow group g to manage objects in tenancy"], {"list", "get", "new", "over", "delete"}),
        (["allow any-user to manage object-family in compartment id x"], {"list", "get", "new", "over", "delete"}),
        (["allow dynamic-group g to manage objects in tenancy"], set()),
        (["allow group g to manage objects in tenancy where target.bucket.name = 'other'"], set()),
        (["allow group g to manage objects in tenancy where request.permission = 'OBJECT_CREATE'"], {"new"}),
        (["allow group g to manage objects in tenancy where request.operation in ('GetObject', 'x')"], {"get"}),
        (
            ["allow group g to manage objects in tenancy where all {target.bucket.name = /B*/, "
             "any {request.permission = 'OBJECT_CREATE', request.permission = 'OBJECT_OVERWRITE'}}"],
            {"new", "over"},
        ),
        (["allow group g to manage objects in tenancy where request.permission != 'OBJECT_DELETE'"],
         {"list", "get", "new", "over"}),
        (["allow group g to read objects in tenancy where target.object.name = /the*/"], {"get"}),
        (["endorse group g to manage objects in tenancy other"], set()),
        (["allow group g to inspect objects in tenancy", "# a comment",
          "Allow group g, h to MANAGE objects in tenancy where target.bucket.name != 'b'"], {"list"}),
    ],
)  # fmt: skip
def test_what_statements_allow(cloud: LocalCloud, storage: Any, statements: list[str], allowed: set[str]) -> None:
    """Verbs are cumulative, conditions hold for each permission, and what no statement allows is refused."""
    space = cloud.namespace
    storage.put_object(space, "b", "there", b"1")
    if not is_allowed(storage.head_object, space, "b", "there"):
        pytest.fail("without a policy everything is allowed")
    with cloud.policy(*statements):
        found = {
            "list": is_allowed(storage.list_objects, space, "b"),
            "get": is_allowed(storage.get_object, space, "b", "there"),
            "over": is_allowed(storage.put_object, space, "b", "there", b"2"),
            "new": is_allowed(storage.put_object, space, "b", f"new-{len(statements)}-{id(statements)}", b"2"),
            "delete": is_allowed(storage.delete_object, space, "b", "there"),
        }
    assert {name for name, is_ in found.items() if is_} == allowed


def test_creating_needs_no_right_to_overwrite(cloud: LocalCloud, storage: Any) -> None:
    """With ``If-None-Match: *`` an object that is there already is 412, and no question of permission."""
    with cloud.policy("allow group g to manage objects in tenancy where request.permission = 'OBJECT_CREATE'"):
        with pytest.raises(oci.exceptions.ServiceError) as refusal:
            storage.put_object(cloud.namespace, "b", "there", b"2", if_none_match="*")
        assert refusal.value.status in (404, 412)


def test_secrets(cloud: LocalCloud) -> None:
    """Secrets, their versions and their contents are three resource types; writing also needs the key."""
    config = oci.config.from_file(str(cloud.config))
    vaults: Any = oci.vault.VaultsClient(config, service_endpoint=cloud.endpoint)
    bundles: Any = oci.secrets.SecretsClient(config, service_endpoint=cloud.endpoint)
    models: Any = oci.vault.models
    content = models.Base64SecretContentDetails(content=base64.b64encode(b"x").decode())
    details = models.CreateSecretDetails(
        compartment_id="c",
        vault_id="v",
        key_id="ocid1.key.oc1.iad.k",
        secret_name="policies",
        secret_content=content,
    )
    ocid = vaults.create_secret(details).data.id
    update = models.UpdateSecretDetails(secret_content=content)
    where = f"in tenancy where target.secret.id = '{ocid}'"
    with cloud.policy(f"allow group g to read secret-bundles {where}", f"allow group g to use secrets {where}"):
        assert is_allowed(bundles.get_secret_bundle, ocid)
        assert is_allowed(vaults.get_secret, ocid)
        assert not is_allowed(vaults.list_secret_versions, ocid)
        assert not is_allowed(vaults.update_secret, ocid, update)
        assert not is_allowed(vaults.list_secrets, "c")
    key = "allow group g to use keys in tenancy where target.key.id = 'ocid1.key.oc1.iad.k'"
    with cloud.policy(f"allow group g to use secrets {where}", key):
        assert is_allowed(vaults.update_secret, ocid, update)
        assert not is_allowed(bundles.get_secret_bundle, ocid)


@pytest.mark.parametrize(
    "text",
    [
        "allow group g to read objects",
        "permit group g to read objects in tenancy",
        "allow group g to eat objects in tenancy",
        "allow group g to read apples in tenancy",
        "allow group g to read objects in tenancy where",
        "allow group g to read objects in tenancy where target.bucket.name",
        "allow group g to read objects in tenancy where target.bucket.name = b",
        "allow group g to read objects in tenancy where all {target.bucket.name = 'b'",
        "allow group g to read objects in tenancy where request.operation in ('a' 'b')",
        "allow group g to read objects in tenancy where a = 'b' c = 'd'",
    ],
)
def test_what_is_no_statement_is_named_by_its_line(text: str) -> None:
    """A statement that cannot be read is an error with its line, never a right."""
    with pytest.raises(ConfigError, match="line 2 of the policy"):
        parse_policy(f"# first\n{text}\n")


def test_every_operation_has_its_permissions(cloud: LocalCloud) -> None:
    """Each operation of the vault needs something, and each permission is given by some verb."""
    operations = {route.operation for route in vault.routes(None)} - {"ConfigureVault"}  # type: ignore[arg-type]
    assert operations <= NEEDS.keys()
    every = frozenset().union(*(granted_by("manage", resource) for resource in GRANTS))
    assert frozenset().union(*NEEDS.values()) <= every
    assert granted_by("manage", "all-resources") == every
    assert parse_statement("allow group g to manage all-resources in tenancy").permissions == every
    assert FAMILIES.keys() & GRANTS.keys() == set()


def test_hints_name_the_least_that_is_enough() -> None:
    """The statement in a hint gives what its operation needs of that resource, and a lower verb would not."""
    for operation, grant in HINTS.items():
        verb, resource = grant.split()
        own = {need for need in NEEDS[operation] if need in granted_by("manage", resource)}
        assert own, operation
        assert own <= granted_by(verb, resource), operation
        lower = VERBS[: VERBS.index(verb)]
        assert all(not own <= granted_by(each, resource) for each in lower), operation

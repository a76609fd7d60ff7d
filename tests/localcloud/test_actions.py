"""Copy, rename, restore, change of tier, and retention rules, as the official SDK asks for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import oci
import pytest
from oci.object_storage import ObjectStorageClient
from oci.object_storage import models as m

from keepstep_localcloud.server import LocalCloud


def refusal(act: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[int, str]:
    with pytest.raises(oci.exceptions.ServiceError) as raised:
        act(*arguments, **options)
    return raised.value.status, raised.value.code


@pytest.fixture
def ask(client: ObjectStorageClient, cloud: LocalCloud, bucket: str) -> Callable[..., str]:
    """``ask("a", "b")`` for a copy within the test's bucket; gives the work request's OCID."""

    def ask(source: str, target: str, **details: Any) -> str:
        place = {"destination_bucket": bucket, "destination_namespace": cloud.namespace}
        given = {**place, "destination_region": "us-ashburn-1", **details}
        wanted = m.CopyObjectDetails(source_object_name=source, destination_object_name=target, **given)
        return str(client.copy_object(cloud.namespace, bucket, wanted).headers["opc-work-request-id"])

    return ask


@pytest.fixture
def copy(client: ObjectStorageClient, ask: Callable[..., str]) -> Callable[..., Any]:
    """``copy("a", "b")``: the same, waited for; gives the finished work request."""

    def copy(source: str, target: str, **details: Any) -> Any:
        number = ask(source, target, **details)
        while (found := client.get_work_request(number).data).status == "ACCEPTED":
            time.sleep(0.01)
        return found

    return copy


def test_a_copy_is_made_in_its_own_time(
    client: ObjectStorageClient,
    cloud: LocalCloud,
    bucket: str,
    make_bucket: Callable[..., str],
    ask: Callable[..., str],
) -> None:
    """CopyObject gives a work request; when that is done the copy is there, and outlives its source."""
    other = make_bucket()
    content = bytes(100_000)
    client.put_object(cloud.namespace, bucket, "a", content, content_type="text/csv", opc_meta={"x": "1"})
    number = ask("a", "b", destination_bucket=other)
    assert refusal(client.get_object, cloud.namespace, other, "b") == (404, "ObjectNotFound")
    done = oci.wait_until(client, client.get_work_request(number), "status", "COMPLETED").data
    assert ([each.action_type for each in done.resources], done.percent_complete) == (["READ", "WRITTEN"], 100)
    assert client.list_work_request_logs(number).data and not client.list_work_request_errors(number).data
    assert number in [each.id for each in client.list_work_requests(cloud.tenancy).data]
    assert refusal(client.cancel_work_request, number) == (409, "NotCancelable")
    client.delete_object(cloud.namespace, bucket, "a")
    found = client.get_object(cloud.namespace, other, "b")
    assert found.data.content == content
    assert (found.headers["content-type"], found.headers["opc-meta-x"]) == ("text/csv", "1")


def test_a_copy_may_be_cancelled(
    client: ObjectStorageClient, cloud: LocalCloud, bucket: str, ask: Callable[..., str]
) -> None:
    """A work request that has not begun can be cancelled, and then does nothing."""
    client.put_object(cloud.namespace, bucket, "a", b"1")
    number = ask("a", "b")
    client.cancel_work_request(number)
    time.sleep(0.1)
    assert client.get_work_request(number).data.status == "CANCELED"
    assert refusal(client.get_object, cloud.namespace, bucket, "b") == (404, "ObjectNotFound")
    assert refusal(client.get_work_request, "ocid1.none") == (404, "NotAuthorizedOrNotFound")


def test_a_copy_can_change_what_is_said(
    client: ObjectStorageClient, cloud: LocalCloud, bucket: str, copy: Callable[..., Any]
) -> None:
    """Given metadata replace the source's, also when an object is copied onto itself."""
    place = (cloud.namespace, bucket)
    client.put_object(*place, "a", bytes(70_000), content_type="text/csv", opc_meta={"x": "1", "y": "2"})
    for target in ("b", "a", "a"):
        assert copy("a", target, destination_object_metadata={"opc-meta-x": "3"}).status == "COMPLETED"
        headers = client.head_object(*place, target).headers
        assert (headers["opc-meta-x"], headers.get("opc-meta-y"), headers["content-type"]) == (
            "3",
            None,
            "text/csv",
        )
        assert client.get_object(*place, target).data.content == bytes(70_000)


def test_a_copy_is_conditional(
    client: ObjectStorageClient, cloud: LocalCloud, bucket: str, copy: Callable[..., Any]
) -> None:
    """A wrong source is refused at once, a target that is not as expected fails the work request."""
    place = (cloud.namespace, bucket)
    etag = client.put_object(*place, "a", b"1").headers["etag"]
    client.put_object(*place, "b", b"2")
    assert refusal(copy, "none", "b") == (404, "ObjectNotFound")
    assert refusal(copy, "a", "c", source_object_if_match_e_tag="another") == (412, "IfMatchFailed")
    assert refusal(copy, "a", "c", destination_region="eu-frankfurt-1") == (400, "InvalidRegion")
    assert refusal(copy, "a", "c", destination_bucket="none") == (404, "BucketNotFound")
    assert refusal(copy, "a", "c", destination_object_metadata={"x": "two\nlines"}) == (400, "InvalidMetadata")
    failed = copy("a", "b", destination_object_if_none_match_e_tag="*", source_object_if_match_e_tag=etag)
    assert failed.status == "FAILED"
    assert [each.code for each in client.list_work_request_errors(failed.id).data] == ["IfNoneMatchFailed"]
    assert client.get_object(*place, "b").data.content == b"2"


def test_a_rename_moves_the_object(client: ObjectStorageClient, cloud: LocalCloud, bucket: str) -> None:
    """Afterwards the object has its new name only; conditions hold for both names."""
    place = (cloud.namespace, bucket)
    etag = client.put_object(*place, "a", bytes(70_000), opc_meta={"x": "1"}).headers["etag"]
    client.put_object(*place, "taken", b"2")

    def rename(**details: Any) -> Any:
        return client.rename_object(
            *place, m.RenameObjectDetails(**{"source_name": "a", "new_name": "b", **details})
        )

    assert refusal(rename, source_name="none") == (404, "ObjectNotFound")
    assert refusal(rename, new_name="a") == (400, "SourceNameSameAsNewName")
    assert refusal(rename, src_obj_if_match_e_tag="another") == (412, "IfMatchFailed")
    assert refusal(rename, new_name="taken", new_obj_if_none_match_e_tag="*") == (412, "IfNoneMatchFailed")
    assert rename(src_obj_if_match_e_tag=etag).headers["etag"]
    assert [each.name for each in client.list_objects(*place).data.objects] == ["b", "taken"]
    found = client.get_object(*place, "b")
    assert (len(found.data.content), found.headers["opc-meta-x"]) == (70_000, "1")


def test_the_archive_gives_back_on_request(
    client: ObjectStorageClient, cloud: LocalCloud, make_bucket: Callable[..., str]
) -> None:
    """An archived object cannot be read or copied until it is restored, and says where it stands."""
    place = (cloud.namespace, make_bucket(storage_tier="Archive"))
    client.put_object(*place, "a", b"cold")

    def state() -> tuple[str, str]:
        (listed,) = client.list_objects(*place, fields="archivalState,storageTier").data.objects
        assert listed.archival_state == client.head_object(*place, "a").headers["archival-state"]
        return listed.storage_tier, listed.archival_state

    restore = m.RestoreObjectsDetails(object_name="a", hours=1)
    assert state() == ("Archive", "Archived")
    assert refusal(client.get_object, *place, "a") == (409, "NotRestored")
    assert refusal(client.restore_objects, *place, m.RestoreObjectsDetails(object_name="a", hours=0.5))[0] == 400
    client.restore_objects(*place, restore)
    assert state() == ("Archive", "Restoring")
    assert refusal(client.restore_objects, *place, restore) == (409, "RestoreInProgress")
    assert refusal(client.get_object, *place, "a") == (409, "NotRestored")
    time.sleep(1.1)
    assert state() == ("Archive", "Restored")
    assert client.get_object(*place, "a").data.content == b"cold"


def test_an_object_changes_its_tier(client: ObjectStorageClient, cloud: LocalCloud, bucket: str) -> None:
    """UpdateObjectStorageTier moves an object between tiers; only an archived one can be restored."""
    place = (cloud.namespace, bucket)
    client.put_object(*place, "a", b"1", storage_tier="InfrequentAccess")
    assert client.head_object(*place, "a").headers["storage-tier"] == "InfrequentAccess"
    assert (
        refusal(client.restore_objects, *place, m.RestoreObjectsDetails(object_name="a"))[1] == "NotArchivedObject"
    )
    change = m.UpdateObjectStorageTierDetails(object_name="a", storage_tier="Archive")
    client.update_object_storage_tier(*place, change)
    assert client.head_object(*place, "a").headers["archival-state"] == "Archived"
    assert refusal(client.update_object_storage_tier, *place, change) == (409, "NotRestored")
    assert refusal(client.put_object, *place, "b", b"1", storage_tier="Attic") == (400, "InvalidParameter")


class Rules:
    """The retention rules of one bucket."""

    def __init__(self, client: ObjectStorageClient, *place: str) -> None:
        self.client = client
        self.place = place

    def create(self, **details: Any) -> Any:
        return self.client.create_retention_rule(*self.place, m.CreateRetentionRuleDetails(**details))

    def update(self, rule: str, **details: Any) -> Any:
        return self.client.update_retention_rule(*self.place, rule, m.UpdateRetentionRuleDetails(**details))


def test_what_is_retained_stays(client: ObjectStorageClient, cloud: LocalCloud, bucket: str) -> None:
    """Under a rule objects are neither deleted nor replaced nor renamed; without it they are."""
    place = (cloud.namespace, bucket)
    rules = Rules(client, *place)
    client.put_object(*place, "entry", b"1")
    rule = rules.create(display_name="hold").data
    identify = m.BatchDeleteObjectIdentifier(object_name="entry")
    renaming = m.RenameObjectDetails(source_name="entry", new_name="x")
    assert refusal(client.delete_object, *place, "entry")[0] == 409
    assert refusal(client.put_object, *place, "entry", b"2")[0] == 409
    assert refusal(client.rename_object, *place, renaming)[0] == 409
    result = client.batch_delete_objects(*place, m.BatchDeleteObjectsDetails(objects=[identify])).data
    assert [each.status_code for each in result.failed] == [409]
    client.put_object(*place, "another", b"1")
    assert client.get_object(*place, "entry").data.content == b"1"
    client.delete_retention_rule(*place, rule.id, if_match=rule.etag)
    client.delete_object(*place, "entry")


def test_rules_have_a_duration(client: ObjectStorageClient, cloud: LocalCloud, bucket: str) -> None:
    """A rule holds for its duration from the object's last change; rules are listed, read and changed."""
    place = (cloud.namespace, bucket)
    rules = Rules(client, *place)
    client.put_object(*place, "entry", b"1")
    rule = rules.create(display_name="none", duration=m.Duration(time_amount=0, time_unit="DAYS")).data
    client.put_object(*place, "entry", b"2")
    changed = rules.update(rule.id, duration=m.Duration(time_amount=1, time_unit="YEARS"))
    assert refusal(client.put_object, *place, "entry", b"3")[0] == 409
    assert client.get_retention_rule(*place, rule.id).headers["etag"] == changed.headers["etag"]
    (listed,) = client.list_retention_rules(*place).data.items
    assert (listed.display_name, listed.duration.time_unit) == ("none", "YEARS")
    assert refusal(client.get_retention_rule, *place, "none") == (404, "RetentionRuleNotFound")
    assert refusal(client.delete_retention_rule, *place, rule.id, if_match="another") == (412, "IfMatchFailed")


def test_a_locked_rule_only_grows(client: ObjectStorageClient, cloud: LocalCloud, bucket: str) -> None:
    """A locked rule is not deleted, not unlocked, not shortened."""
    place = (cloud.namespace, bucket)
    rules = Rules(client, *place)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    two, one, three = (m.Duration(time_amount=n, time_unit="DAYS") for n in (2, 1, 3))
    rule = rules.create(display_name="worm", duration=two, time_rule_locked=yesterday).data
    assert refusal(client.delete_retention_rule, *place, rule.id) == (409, "RetentionRuleLocked")
    assert refusal(rules.update, rule.id, duration=one) == (409, "RetentionRuleLocked")
    assert rules.update(rule.id, duration=three).data.duration.time_amount == 3

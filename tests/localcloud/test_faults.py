"""Each fault does what it says, as often and as late as it was asked for, and then no more."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from keepstep_localcloud.faults import Effect, Fault, Faults
from keepstep_localcloud.server import LocalCloud
from tests.localcloud.rawclient import RawClient


def set_fault(raw: RawClient, fault: object, method: str = "POST") -> tuple[int, Any]:
    connection = http.client.HTTPConnection(raw.address)
    connection.request(method, Faults.PATH, json.dumps(fault))
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_a_status_strikes_after_and_times(raw: RawClient, cloud: LocalCloud, path: str) -> None:
    """The second and third listing fail as asked, the others and other operations do not."""
    set_fault(raw, {"operation": "ListObjects", "after": 1, "times": 2, "do": {"status": 500}})
    assert raw.put(f"{path}/o/a", b"1").status == 200
    assert [raw.call("GET", f"{path}/o").status for _ in range(5)] == [200, 500, 500, 200, 200]


def test_a_status_has_ocis_code_or_ones_own(raw: RawClient, cloud: LocalCloud, path: str) -> None:
    """The code follows the status unless it is given, and headers come along."""
    cloud.fault("ListObjects", status=429, headers={"retry-after": "7"})
    answer = raw.call("GET", f"{path}/o")
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (429, "TooManyRequests", "7")
    cloud.fault("ListObjects", status=404, code="BucketNotFound", message="gone")
    assert raw.call("GET", f"{path}/o").json() == {"code": "BucketNotFound", "message": "gone"}


def test_a_fault_may_mean_one_path_only(raw: RawClient, cloud: LocalCloud, path: str) -> None:
    """match picks requests by path and query, and times null goes on until it is cleared."""
    cloud.fault("*", match=r"prefix=b", times=None, status=503)
    statuses = [raw.call("GET", f"{path}/o?prefix={prefix}").status for prefix in ("a", "b", "b", "c", "b")]
    assert statuses == [200, 503, 503, 200, 503]
    cloud.clear_faults()
    assert raw.call("GET", f"{path}/o?prefix=b").status == 200


def test_latency_comes_before_the_act(raw: RawClient, cloud: LocalCloud, path: str) -> None:
    """latency_ms delays the answer, and others are served meanwhile."""
    cloud.fault("HeadBucket", latency_ms=300)
    began = time.monotonic()
    assert raw.call("HEAD", path).status == 200
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("size", [1000, 300_000])
@pytest.mark.parametrize("cut", [0, 700])
def test_a_body_is_cut(raw: RawClient, cloud: LocalCloud, path: str, size: int, cut: int) -> None:
    """cut sends that many bytes of the promised body and closes the connection."""
    raw.put(f"{path}/o/a", bytes(size))
    cloud.fault("GetObject", cut=cut)
    with pytest.raises(http.client.IncompleteRead) as incomplete:
        raw.call("GET", f"{path}/o/a")
    assert (len(incomplete.value.partial), incomplete.value.expected) == (cut, size - cut)
    assert len(raw.call("GET", f"{path}/o/a").body) == size


def test_a_page_is_cut(raw: RawClient, cloud: LocalCloud, path: str) -> None:
    """A cut listing is half a JSON document on a connection that is closed."""
    cloud.fault("ListObjects", cut=5)
    with pytest.raises(http.client.IncompleteRead) as incomplete:
        raw.call("GET", f"{path}/o")
    assert incomplete.value.partial == b'{"obj'


def test_a_lost_reply_has_acted(raw: RawClient, cloud: LocalCloud, path: str) -> None:
    """lose_reply does the write and breaks the connection off without a byte."""
    cloud.fault("PutObject", lose_reply=True)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        raw.put(f"{path}/o/a", bytes(100_000))
    assert len(raw.call("GET", f"{path}/o/a").body) == 100_000
    cloud.fault("DeleteObject", lose_reply=True)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        raw.call("DELETE", f"{path}/o/a")
    assert raw.call("HEAD", f"{path}/o/a").status == 404


def test_a_stale_listing_is_from_before_the_last_write(raw: RawClient, cloud: LocalCloud, path: str) -> None:
    """stale lists the bucket as it was before its last change, and only as often as asked."""
    raw.put(f"{path}/o/a", b"1")
    raw.put(f"{path}/o/b", b"2")
    cloud.fault("ListObjects", stale=True)
    pages = [raw.call("GET", f"{path}/o").json()["objects"] for _ in range(2)]
    assert pages == [[{"name": "a"}], [{"name": "a"}, {"name": "b"}]]


def test_faults_are_listed_and_cleared(raw: RawClient, cloud: LocalCloud, path: str) -> None:
    """GET shows each fault and how many requests it has counted, DELETE forgets them all."""
    cloud.fault("ListObjects", after=3, status=500)
    raw.call("GET", f"{path}/o")
    _, (listed,) = set_fault(raw, None, "GET")
    assert (listed["operation"], listed["after"], listed["seen"], listed["do"]) == (
        "ListObjects",
        3,
        1,
        {"status": 500},
    )
    assert set_fault(raw, None, "DELETE") == (200, [])
    assert set_fault(raw, None, "PUT")[0] == 405


@pytest.mark.parametrize(
    "fault",
    [
        {"do": {"status": 500}},
        {"operation": "x"},
        {"operation": "x", "do": {}},
        {"operation": "x", "do": {"status": 99}},
        {"operation": "x", "do": {"explode": True}},
        {"operation": "x", "do": {"status": 500}, "time": 2},
        {"operation": "x", "do": {"status": 500}, "times": 0},
        {"operation": "x", "do": {"status": 500}, "match": "("},
        [],
    ],
)
def test_a_fault_that_cannot_be_meant(raw: RawClient, fault: object) -> None:
    """A fault with an unknown key, no effect or an impossible value is refused, so a test cannot pass by a typo."""
    status, answer = set_fault(raw, fault)
    assert (status, answer["code"]) == (400, "InvalidParameter")


@pytest.fixture
def faults() -> Iterator[Faults]:
    yield Faults()


def test_the_first_fault_that_is_due_takes_the_request(faults: Faults) -> None:
    """Faults are asked in the order they were set, and those behind the one that strikes do not count."""
    for status in (500, 503):
        faults.add({"operation": "PutObject", "do": {"status": status}})
    struck = [effect and effect.status for effect in (faults.take("PutObject") for _ in range(3))]
    assert struck == [500, 503, None]
    assert [fault["seen"] for fault in faults.report()] == [3, 2]


def test_a_fault_counts_only_what_it_means() -> None:
    """Requests of another operation or path are neither counted nor struck."""
    fault = Fault(operation="GetObject", match="/b/x/", after=1, do=Effect(status=500))
    asked = [("GetObject", "/b/x/1"), ("PutObject", "/b/x/1"), ("GetObject", "/b/y/1"), ("GetObject", "/b/x/2")]
    assert [fault.hits(*request) for request in asked] == [False, False, False, True]

"""Every signature is verified, on the raw path and over the body, whatever was changed on the way."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from keepstep_localcloud.server import LocalCloud
from keepstep_localcloud.signatures import parse
from keepstep_localcloud.wire import ServiceError
from tests.localcloud.rawclient import BODY, TARGET, Draft, RawClient

Spoil = Callable[[Draft], object]


def header(name: str, value: str) -> Spoil:
    return lambda draft: draft.headers.update({name: value})


def without(name: str) -> Spoil:
    return lambda draft: draft.headers.pop(name)


def target(old: str, new: str) -> Spoil:
    return lambda draft: setattr(draft, "target", draft.target.replace(old, new))


def method(name: str) -> Spoil:
    return lambda draft: setattr(draft, "method", name)


def authorization(old: str, new: str) -> Spoil:
    return lambda draft: draft.headers.update(authorization=draft.headers["authorization"].replace(old, new))


def flipped_bit(draft: Draft) -> None:
    head, value = draft.headers["authorization"].rsplit('signature="', 1)
    raw = bytearray(base64.b64decode(value.rstrip('"')))
    raw[17] ^= 1
    draft.headers["authorization"] = f'{head}signature="{base64.b64encode(raw).decode()}"'


def test_an_untouched_request_is_accepted(raw: RawClient, path: str) -> None:
    """What the spoiled requests below differ from is accepted: each of them fails for its own reason."""
    assert raw.call("GET", f"{path}/o?prefix=a%2Fb&limit=7").status == 200
    assert raw.call("POST", path, b"{}").status == 200


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(without("authorization"), id="no signature"),
        pytest.param(header("authorization", "Bearer Oracle"), id="another scheme"),
        pytest.param(flipped_bit, id="one bit of the signature"),
        pytest.param(authorization('signature="', 'signature="!'), id="signature not base64"),
        pytest.param(authorization("rsa-sha256", "hmac-sha256"), id="algorithm"),
        pytest.param(authorization('version="1"', 'version="2"'), id="version"),
        pytest.param(authorization("ocid1.user", "ocid1.usex"), id="key id: user"),
        pytest.param(authorization("date (request-target)", "(request-target)"), id="header list"),
        pytest.param(
            authorization("date (request-target) host", "date (request-target) host x-no"), id="absent header"
        ),
        pytest.param(header("date", "Thu, 05 Jan 2034 21:31:40 GMT"), id="date"),
        pytest.param(header("host", "localhost:1"), id="host"),
        pytest.param(target("limit=7", "limit=8"), id="query"),
        pytest.param(target("a%2Fb", "a%2fb"), id="query, other spelling of the same"),
        pytest.param(target("/o?", "/u?"), id="path"),
        pytest.param(target("/o?", "/%6F?"), id="path, other spelling of the same"),
        pytest.param(method("HEAD"), id="method"),
    ],
)
def test_an_altered_get_is_refused(raw: RawClient, path: str, spoil: Spoil) -> None:
    """Each element of a signed GET that is changed on the way gives 401 NotAuthenticated."""
    answer = raw.call("GET", f"{path}/o?prefix=a%2Fb&limit=7", spoil=spoil)
    assert answer.status == 401
    assert not answer.body or answer.code == "NotAuthenticated"


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda draft: setattr(draft, "body", b'{"x":9}'), id="body of the same length"),
        pytest.param(header("x-content-sha256", base64.b64encode(bytes(32)).decode()), id="hash of another body"),
        pytest.param(header("content-type", "text/plain"), id="content type"),
        pytest.param(without("x-content-sha256"), id="no hash"),
        pytest.param(method("PUT"), id="method"),
    ],
)
def test_an_altered_post_is_refused(raw: RawClient, path: str, spoil: Spoil) -> None:
    """A replayed signature does not carry another body, type or method."""
    answer = raw.call("POST", f"{path}/retentionRules", b'{"x":1}', spoil=spoil)
    assert (answer.status, answer.code) == (401, "NotAuthenticated")
    assert raw.call("GET", f"{path}/retentionRules").json() == {"items": []}


@pytest.mark.parametrize("left_out", BODY)
def test_a_header_that_must_be_signed_is_missed(raw: RawClient, path: str, left_out: str) -> None:
    """A signature that leaves out one of the required headers is refused even though it verifies."""
    signed = [name for name in BODY if name != left_out]
    answer = raw.call("POST", path, b"{}", signed=signed)
    assert (answer.status, answer.code) == (401, "NotAuthenticated")


@pytest.mark.parametrize(("seconds", "status"), [(-290, 200), (290, 200), (-310, 401), (310, 401)])
def test_clocks_may_differ_by_five_minutes(raw: RawClient, path: str, seconds: int, status: int) -> None:
    """A request is accepted while its date is within five minutes of ours, before or after."""
    assert raw.call("GET", f"{path}/o", date=time.time() + seconds).status == status


def test_x_date_stands_in_for_date(raw: RawClient, path: str) -> None:
    """A client that cannot set Date signs x-date."""
    date = raw.draft("GET", "/").headers["date"]
    signed = ["x-date", "(request-target)", "host"]
    assert raw.call("GET", f"{path}/o", headers={"x-date": date}, signed=signed).status == 200
    assert raw.call("GET", f"{path}/o", headers={"x-date": "yesterday"}, signed=signed).status == 401


def test_a_put_object_signs_no_body(raw: RawClient, path: str) -> None:
    """PutObject and UploadPart are accepted without a body hash; one that comes along is checked all the same."""
    assert raw.put(f"{path}/o/a", b"content").status == 200
    spoiled = raw.call("PUT", f"{path}/o/b", b"content", spoil=lambda draft: setattr(draft, "body", b"CONTENT"))
    assert (spoiled.status, spoiled.code) == (401, "NotAuthenticated")
    assert raw.call("GET", f"{path}/o/b").status == 404


def test_another_key_is_refused(cloud: LocalCloud, path: str) -> None:
    """A key that is not registered is refused, under its own fingerprint and under the registered one."""
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    known = RawClient(cloud).key_id
    for key_id in (known, f"{known[:-2]}00", "ST$not-a-token", "x"):
        assert RawClient(cloud, key_id, stranger).call("GET", f"{path}/o").status == 401


def test_a_refusal_reads_like_ocis(raw: RawClient, path: str) -> None:
    """The body is OCI's error document, a HEAD has none, and every answer has an opc-request-id."""
    answer = raw.call("GET", f"{path}/o", headers={"opc-request-id": "mine"}, spoil=without("authorization"))
    assert answer.json().keys() == {"code", "message"}
    assert answer.headers["opc-request-id"] == "mine"
    head = raw.call("HEAD", f"{path}/o/x", headers={"opc-client-request-id": "me"}, spoil=without("authorization"))
    assert (head.status, head.body, head.headers["opc-client-request-id"]) == (401, b"", "me")
    assert head.headers["opc-request-id"]


@pytest.mark.parametrize(
    "text", ["", "Signature", 'Signature keyId="a"', 'Signature headers="date",signature="AA=="']
)
def test_half_an_authorization_is_none(text: str) -> None:
    """A header without key id, header list or signature is refused, not misread."""
    with pytest.raises(ServiceError) as refused:
        parse(text)
    assert refused.value.status == 401


def test_unknown_keys_may_be_let_in(alone: Callable[..., LocalCloud]) -> None:
    """With --any-key an unknown key is believed unverified, and a registered one is still verified."""
    cloud = alone("--any-key")
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    other = RawClient(cloud, "ocid1.tenancy.oc1..x/ocid1.user.oc1..y/00:11", stranger)
    assert other.call("GET", "/n").json() == cloud.namespace
    assert other.call("GET", "/n", spoil=without("authorization")).status == 401
    assert other.call("POST", f"/n/{cloud.namespace}/b", b"{}", spoil=method("PUT")).status == 405
    assert RawClient(cloud, None, stranger).call("GET", "/n").status == 401
    claims = {"ptype": "resource", "tenant": "ocid1.tenancy.oc1..x", "exp": time.time() + 60}
    token = "ST$" + jwt.encode(claims, stranger, algorithm="RS256")
    assert json.loads(RawClient(cloud, token, stranger).call("GET", "/n", signed=TARGET).body) == cloud.namespace
    assert RawClient(cloud, "ST$nonsense", stranger).call("GET", "/n").status == 401

"""Instances, functions, sessions and pods: the SDK's own signers, end to end."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import oci
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from oci.auth.signers import (
    EphemeralResourcePrincipalSigner,
    InstancePrincipalsSecurityTokenSigner,
    SecurityTokenSigner,
    get_resource_principals_signer,
)
from oci.object_storage import ObjectStorageClient

from keepstep_localcloud.certificates import is_trusted, make_chain
from keepstep_localcloud.environment import read_exports
from keepstep_localcloud.identity import new_ocid
from keepstep_localcloud.server import LocalCloud
from keepstep_localcloud.tokens import Tokens
from tests.localcloud.rawclient import RawClient


def with_signer(cloud: LocalCloud, signer: Any) -> ObjectStorageClient:
    retries = oci.retry.NoneRetryStrategy()
    region = {"region": "us-ashburn-1"}
    return ObjectStorageClient(region, signer=signer, service_endpoint=cloud.endpoint, retry_strategy=retries)


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def der(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def issuer(cloud: LocalCloud) -> Tokens:
    """The cloud's own issuer: what it signs, the cloud accepts."""
    return Tokens(oci.signer.load_private_key_from_file(str(cloud.directory / "identity" / "token_key.pem")))


def test_an_instance_proves_itself(cloud: LocalCloud, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's instance principal works from metadata service and federation to a signed call, and refreshes."""
    monkeypatch.setenv("OCI_METADATA_BASE_URL", cloud.env["OCI_METADATA_BASE_URL"])
    signer = InstancePrincipalsSecurityTokenSigner(federation_endpoint=f"{cloud.endpoint}/v1/x509")
    client = with_signer(cloud, signer)
    client.put_object(cloud.namespace, bucket, "from an instance", b"x")
    assert (signer.tenancy_id, signer.region) == (cloud.tenancy, "us-ashburn-1")
    first = signer.api_key
    signer.refresh_security_token()
    assert client.get_object(cloud.namespace, bucket, "from an instance").data.content == b"x"
    assert signer.api_key != first


def test_the_metadata_service_needs_its_header(cloud: LocalCloud, raw: RawClient) -> None:
    """Without Authorization: Bearer Oracle nothing is told; with it facts come one by one and all together."""
    path, oracle = "/opc/v2/instance/regionInfo", {"authorization": "Bearer Oracle"}
    draft = raw.draft("GET", path)
    draft.headers = {"host": raw.address}
    assert raw.send(draft).status == 401
    draft.headers |= oracle
    assert raw.send(draft).json()["regionIdentifier"] == "us-ashburn-1"
    for target, body in ((f"{path}/regionKey", b"IAD"), ("/opc/v2/instance/id", cloud.facts["instance"].encode())):
        draft.target = target
        assert raw.send(draft).body == body
    draft.target = "/opc/v2/instance/"
    assert raw.send(draft).json()["compartmentId"] == cloud.facts["compartment"]
    draft.target = "/opc/v2/identity/secret.pem"
    assert raw.send(draft).status == 404


class Machine:
    """An instance of an authority of its own, which asks for tokens by hand."""

    def __init__(self, cloud: LocalCloud, units: Sequence[str]) -> None:
        self.key = new_key()
        self.session_key = new_key()
        self.root, self.middle, self.leaf = make_chain(self.key.public_key(), units)
        self.cloud = cloud

    def ask(
        self, leaf: bytes | None = None, key: rsa.RSAPrivateKey | None = None, digest: str = "", **changes: str
    ) -> Any:
        found = x509.load_pem_x509_certificate(leaf or self.leaf)
        fingerprint = digest or found.fingerprint(oci.auth.federation_client.SHA1()).hex(":").upper()
        raw = RawClient(self.cloud, f"ocid1.tenancy.oc1..x/fed-x509/{fingerprint}", key or self.key)
        body = {
            "certificate": _bare(leaf or self.leaf),
            "intermediateCertificates": [_bare(self.middle)],
            "publicKey": der(self.session_key.public_key()),
            **changes,
        }
        signed = ["date", "(request-target)", "content-length", "content-type", "x-content-sha256"]
        return raw.call("POST", "/v1/x509", json.dumps(body).encode(), signed=signed)


def _bare(pem: bytes) -> str:
    return "".join(pem.decode().splitlines()[1:-1])


def test_another_authority_is_trusted_when_named(alone: Callable[..., LocalCloud], tmp_path: Path) -> None:
    """--federation-ca lets in the instances of that authority, under the tenancy in their certificate."""
    units = ["opc-identity:ocid1.tenancy.oc1..theirs", "opc-instance:ocid1.instance.oc1..one"]
    file = tmp_path / "ca.pem"
    file.write_bytes(make_chain(new_key().public_key(), units)[0])
    cloud = alone("--federation-ca", str(file))
    stranger = Machine(cloud, units)
    assert stranger.ask().status == 401
    cloud.stop()
    file.write_bytes(stranger.root)
    cloud.start()
    answer = stranger.ask()
    assert answer.status == 200
    token = answer.json()["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["tenant"], claims["sub"]) == ("ocid1.tenancy.oc1..theirs", "ocid1.instance.oc1..one")
    assert with_signer(cloud, SecurityTokenSigner(token, stranger.session_key)).get_namespace().status == 200
    assert stranger.ask(key=new_key()).status == 401
    assert stranger.ask(digest="00:11").status == 401
    assert stranger.ask(leaf=Machine(cloud, units).leaf).status == 401
    assert stranger.ask(certificate="nonsense").code == stranger.ask(publicKey="AAAA").code == "InvalidParameter"
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert stranger.ask(publicKey=der(curve)).code == "InvalidParameter"


def test_a_chain_is_unbroken_valid_and_made_by_authorities() -> None:
    """A leaf is trusted through its intermediate while all are valid, and never through another leaf."""
    root, middle, leaf = (
        x509.load_pem_x509_certificate(pem) for pem in make_chain(new_key().public_key(), ["opc-tenant:x"])
    )
    now = datetime.now(UTC)
    assert is_trusted(leaf, [middle], [root], now)
    assert not is_trusted(leaf, [], [root], now)
    assert not is_trusted(leaf, [leaf], [leaf], now)
    assert not is_trusted(leaf, [middle], [root], now + timedelta(days=4000))
    assert not is_trusted(leaf, [middle], [root], now - timedelta(days=4000))


def test_a_function_proves_itself(cloud: LocalCloud, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resource principal in DIR/oci/function.env works with the SDK, its tenancy and compartment too."""
    for name, value in read_exports(cloud.directory / "oci" / "function.env").items():
        monkeypatch.setenv(name, value)
    signer = get_resource_principals_signer()
    assert isinstance(signer, EphemeralResourcePrincipalSigner)
    assert with_signer(cloud, signer).head_bucket(cloud.namespace, bucket).status == 200
    assert (signer.tenancy_id, signer.compartment_id) == (cloud.tenancy, cloud.facts["compartment"])


def session(cloud: LocalCloud) -> SecurityTokenSigner:
    config = oci.config.from_file(str(cloud.config), "SESSION")
    key = oci.signer.load_private_key_from_file(config["key_file"])
    return SecurityTokenSigner(Path(config["security_token_file"]).read_text(), key)


def test_a_session_works_and_is_refreshed(cloud: LocalCloud, bucket: str) -> None:
    """The profile SESSION signs calls, and is refreshed by the request that ``oci session refresh`` makes."""
    signer = session(cloud)
    assert with_signer(cloud, signer).head_bucket(cloud.namespace, bucket).status == 200
    token = signer.api_key.removeprefix("ST$")
    answer = oci._vendor.requests.post(
        f"{cloud.endpoint}/v1/authentication/refresh",
        headers={"content-type": "application/json"},
        data=json.dumps({"currentToken": token}),
        auth=signer,
    )
    renewed = SecurityTokenSigner(answer.json()["token"], signer.private_key)
    assert with_signer(cloud, renewed).head_bucket(cloud.namespace, bucket).status == 200


def test_a_token_is_good_for_its_own_key_and_time(cloud: LocalCloud) -> None:
    """A token that has ended, that another issuer made, or whose session key did not sign is refused."""
    key, tokens = new_key(), issuer(cloud)
    good = tokens.issue("user", cloud.tenancy, cloud.facts["user"], key.public_key())
    assert RawClient(cloud, f"ST${good}", key).call("GET", "/n").status == 200
    ended = {**tokens.claims(good), "exp": int(time.time()) - 1}
    for token, signing_key in (
        (good, new_key()),
        (jwt.encode(ended, tokens._key, algorithm="RS256"), key),
        (Tokens(key).issue("user", cloud.tenancy, cloud.facts["user"], key.public_key()), key),
        (good[:-3] + "AAA", key),
    ):
        answer = RawClient(cloud, f"ST${token}", signing_key).call("GET", "/n")
        assert (answer.status, answer.code) == (401, "NotAuthenticated")


def test_a_session_is_refreshed_by_nobody_else(cloud: LocalCloud, raw: RawClient) -> None:
    """The refresh call exchanges only the token of a session, and only for the one who signed."""
    key, tokens = new_key(), issuer(cloud)
    other = tokens.issue("user", cloud.tenancy, new_ocid("user"), key.public_key())
    machine = tokens.issue("instance", cloud.tenancy, cloud.facts["user"], key.public_key())
    for token in (other, machine, "nonsense"):
        body = json.dumps({"currentToken": token}).encode()
        assert raw.call("POST", "/v1/authentication/refresh", body).status == 401


def test_a_pod_exchanges_its_service_account(cloud: LocalCloud, raw: RawClient) -> None:
    """OKE's exchange gives a token for the pod's key, in the wrapping that the SDK's workload signer unpacks."""
    key = new_key()
    account = jwt.encode({"sub": "system:serviceaccount:jobs:sync", "exp": int(time.time()) + 60}, "k" * 32)
    draft = raw.draft(
        "POST", "/resourcePrincipalSessionTokens", json.dumps({"podKey": der(key.public_key())}).encode()
    )
    draft.headers["authorization"] = f"Bearer {account}"
    answer = raw.send(draft)
    token = json.loads(base64.b64decode(answer.body))["token"]
    assert token.startswith("ST$")
    assert RawClient(cloud, token, key).call("GET", "/n").json() == cloud.namespace
    draft.headers["authorization"] = "Bearer nonsense"
    assert raw.send(draft).status == 401


def test_the_identity_service_names_the_home_region(cloud: LocalCloud) -> None:
    """The SDK's identity client finds its user and its one home region, and nobody else's."""
    identity = oci.identity.IdentityClient(oci.config.from_file(str(cloud.config)), service_endpoint=cloud.endpoint)
    (region,) = identity.list_region_subscriptions(cloud.tenancy).data
    assert (region.region_name, region.region_key, region.is_home_region) == ("us-ashburn-1", "IAD", True)
    assert identity.get_user(cloud.facts["user"]).data.lifecycle_state == "ACTIVE"
    assert identity.get_tenancy(cloud.tenancy).data.home_region_key == "IAD"
    with pytest.raises(oci.exceptions.ServiceError, match="NotAuthorizedOrNotFound"):
        identity.get_user(new_ocid("user"))


def test_resources_exchange_what_they_are(cloud: LocalCloud, raw: RawClient) -> None:
    """The two steps of versions 2.1 and 2.1.1, by hand; each refuses others, and their tokens are no keys."""
    own = oci.signer.load_private_key_from_file(str(cloud.directory / "identity" / "function_key.pem"))
    function, session = cloud.facts["function"], new_key()
    for key_id in (f"resource/v2.1/{function}", f"resource/v2.1.1/{cloud.tenancy}/{function}"):
        resource = RawClient(cloud, key_id, own)
        tokens = resource.call("GET", f"/20180711/resourcePrincipalTokenV2/{function}").json()
        body = {**tokens, "sessionPublicKey": der(session.public_key())}
        answer = resource.call("POST", "/v1/resourcePrincipalSessionToken", json.dumps(body).encode())
        assert RawClient(cloud, f"ST${answer.json()['token']}", session).call("GET", "/n").json() == cloud.namespace
        swapped = {**body, "resourcePrincipalToken": tokens["servicePrincipalSessionToken"]}
        for wrong in (swapped, {**body, "resourcePrincipalToken": "x"}):
            refused = resource.call("POST", "/v1/resourcePrincipalSessionToken", json.dumps(wrong).encode())
            assert refused.status == 401
        assert resource.call("GET", f"/resourcePrincipalTokenV2/{new_ocid('fnfunc')}").status == 401
        assert resource.call("GET", f"/resourcePrincipalToken/{function}").status == 401
        assert resource.call("GET", "/resourcePrincipalTokenOfParent/0").status == 401
        assert resource.call("GET", "/n").status == 401
        assert (
            RawClient(cloud, key_id, new_key()).call("GET", f"/resourcePrincipalTokenV2/{function}").status == 401
        )
        sealed = f"ST${tokens['resourcePrincipalToken']}"
        assert RawClient(cloud, sealed, own).call("GET", "/n").status == 401
    assert raw.call("GET", f"/resourcePrincipalTokenV2/{function}").status == 401

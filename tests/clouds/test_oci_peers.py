"""Principals as Oracle's SDK gets them: the same requests, identities, refreshes and failures at the same services.

Where the two differ it is on purpose, and said: redirects are not followed, sizes are limited, and a certificate
that was replaced while it was read is read again.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import jwt
import oci
import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from keepstep.clouds import oci_asking
from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_config import OciSettings
from keepstep.clouds.oci_signing import SigningKey
from keepstep.errors import ConfigError, Corrupt, Denied, Error, Transient
from keepstep_localcloud.certificates import make_chain
from keepstep_localcloud.environment import read_exports
from keepstep_localcloud.server import LocalCloud
from tests.clouds.peers import Answer, Door, Twist, body, cut, door, late, ours, sdk_instance, sdk_resource, status
from tests.clouds.test_oci_principals import pod as pod
from tests.clouds.test_oci_principals import status as accepted
from tests.clouds.wire import Authority, answering, serving

PREFIX = "OCI_RESOURCE_PRINCIPAL"
HTML = b"<html>a portal</html>"


@pytest.fixture
def opened(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """The local OCI behind a door, which both peers go through."""
    with door(cloud) as found:
        monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{found.origin}/opc/v2")
        monkeypatch.setenv("OCI_CLI_FEDERATION_ENDPOINT", f"{found.origin}/v1/x509")
        monkeypatch.setenv("OCI_ENDPOINT_URL", found.origin)
        # For the SDK, which knows no other way to say where instances sign in.
        monkeypatch.setattr("oci.regions.endpoint_for", lambda *_: found.origin)
        base = f"{found.origin}/opc/v2"
        monkeypatch.setattr(
            "oci.auth.rpt_path_providers.InstancePrincipalsSecurityTokenSigner.METADATA_URL_BASE", base
        )
        yield found


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience enough for four attempts."""
    monkeypatch.setattr(oci_asking, "_UNREACHABLE", 2.0)
    monkeypatch.setattr(oci_asking, "_UNWILLING", 2.0)
    monkeypatch.setattr("keepstep.clouds.oci_instance._PAUSES", (0.05, 0.05))


def theirs(opened: Door) -> Any:
    return sdk_instance(f"{opened.origin}/v1/x509")


def claims(key_id: str) -> dict[str, Any]:
    """What a token says, without what differs from one to the next."""
    found = jwt.decode(key_id.removeprefix("ST$"), options={"verify_signature": False})
    return {name: value for name, value in found.items() if name not in ("iat", "exp", "jwk")}


# instances


def test_instances_sign_in_alike(cloud: LocalCloud, opened: Door) -> None:
    """The same key id, signed headers, certificates and fields are sent, and the same identity comes back."""
    signer = theirs(opened)
    posts = [each for each in opened.seen if each.path == "/v1/x509"]
    opened.seen.clear()
    key = ours("instance_principal")
    assert claims(key.key_id) == claims(signer.api_key)
    assert (key.tenancy, key.region) == (signer.tenancy_id, signer.region)
    assert asyncio.run(accepted(cloud, key)) == 200
    mine = next(each for each in opened.seen if each.path == "/v1/x509")
    for part in ("keyId", "headers", "algorithm", "version"):
        found = [re.findall(rf'{part}="([^"]*)"', each.headers["authorization"]) for each in (mine, posts[0])]
        assert found[0] == found[1], part
    bodies = [json.loads(each.body) for each in (mine, posts[0])]
    assert bodies[0].keys() == bodies[1].keys()
    for name in ("certificate", "intermediateCertificates"):
        assert bodies[0][name] == bodies[1][name]
    assert all(each.headers["authorization"] == "Bearer Oracle" for each in opened.seen if "/opc/" in each.path)
    assert opened.paths() == [
        *(f"GET /opc/v2/{path}" for path in ("identity/cert.pem", "identity/key.pem")),
        *(f"GET /opc/v2/{path}" for path in ("identity/intermediate.pem", "instance/region")),
        "POST /v1/x509",
    ]


PASSING: list[tuple[str, Twist, int]] = [
    ("cert.pem", status(404), 2),
    ("key.pem", status(503), 1),
    ("instance/region", status(500), 1),
    ("intermediate.pem", status(429), 1),
    ("x509", status(503), 2),
    ("x509", status(429), 1),
    ("x509", status(500, HTML), 1),
    ("x509", cut, 1),
    ("cert.pem", late(0.3), 1),
    ("x509", late(0.3), 1),
]


@pytest.mark.parametrize(("path", "twist", "times"), PASSING)
def test_both_outlast_faults_that_pass(opened: Door, path: str, twist: Twist, times: int) -> None:
    """404 at the metadata service, 429 and 5xx anywhere, a cut connection and a slow answer are asked again."""
    opened.once(path, twist, times)
    assert theirs(opened).tenancy_id
    opened.once(path, twist, times)
    assert ours("instance_principal").tenancy


def another_key(answer: Answer) -> Answer:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    return answer[0], answer[1], key.private_bytes(*form)


def elliptic(answer: Answer) -> Answer:
    form = (ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    return answer[0], answer[1], ec.generate_private_key(ec.SECP256R1()).private_bytes(*form)


def nobodys(answer: Answer) -> Answer:
    """A certificate that names no tenancy."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return answer[0], answer[1], make_chain(key.public_key(), ["opc-instance:x"])[2]


ODD: list[tuple[str, Twist, type[Error], str]] = [
    ("cert.pem", status(404), ConfigError, "no instance principal: the metadata service answered 404"),
    ("cert.pem", status(401), ConfigError, "no instance principal: the metadata service answered 401"),
    ("key.pem", status(503), Transient, "cannot get the instance principal: the metadata service answered 503"),
    ("cert.pem", body(HTML), ConfigError, "identity/cert.pem of the metadata service is not a certificate"),
    ("cert.pem", body(b""), ConfigError, "identity/cert.pem of the metadata service is not a certificate"),
    ("intermediate.pem", body(HTML), ConfigError, "identity/intermediate.pem of the metadata service is no"),
    ("key.pem", body(HTML), ConfigError, r"the private key of the instance \(identity/key.pem\) is not PEM"),
    ("key.pem", elliptic, ConfigError, r"the private key of the instance \(identity/key.pem\) is not an RSA key"),
    ("key.pem", another_key, Transient, "its certificate and its private key do not belong together"),
    ("x509", status(401, b'{"code": "NotAuthenticated", "message": "no"}'), Denied, "401 NotAuthenticated: no"),
    ("x509", status(403), Denied, "OCI refused the instance principal: 403 X: y"),
    ("x509", status(400, HTML), Denied, "OCI refused the instance principal: 400$"),
    ("x509", status(500), Transient, "answered 500 X: y"),
    ("x509", status(501), Transient, "answered 501 X: y"),
    ("x509", body(HTML), Corrupt, r"the instance principal: the answer is not JSON \(a proxy\?\)"),
    ("x509", body(b"\xff\xfe\x00"), Corrupt, "the answer is not JSON"),
    ("x509", body(b"null"), Corrupt, "the answer is not a JSON object"),
    ("x509", body(b"[]"), Corrupt, "the answer is not a JSON object"),
    ("x509", body(b"{}"), Corrupt, "the answer has no token"),
    ("x509", body(b'{"token": 7}'), Corrupt, "the answer has a token that is not text"),
    ("x509", body(b'{"token": "hush"}'), Corrupt, "the answer's token is none"),
    ("x509", body(b'{"token": "e30.e30.x"}'), Corrupt, "the answer's token is none"),
    ("x509", cut, Transient, "cannot get the instance principal: .* closed the connection without an answer"),
]
"""What neither takes, and what is said."""


@pytest.mark.parametrize(("path", "twist", "error", "message"), ODD)
def test_neither_takes_what_is_no_principal(
    opened: Door, path: str, twist: Twist, error: type[Error], message: str
) -> None:
    """Wrong statuses, types, keys and tokens are errors to both, and ours say which."""
    opened.for_ever[path] = twist
    with pytest.raises(Exception) as refused:  # the SDK has a dozen kinds
        signer = theirs(opened)
        # It finds out what a token is when it has to know its end.
        assert signer.federation_client.security_token.valid()
    assert not isinstance(refused.value, Error)
    with pytest.raises(error, match=message):
        ours("instance_principal")


def test_a_certificate_that_names_no_tenancy(opened: Door) -> None:
    """Is nobody's, for both."""
    chain: dict[str, bytes] = {}
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    chain["key.pem"] = key.private_bytes(*form)
    _, chain["intermediate.pem"], chain["cert.pem"] = make_chain(key.public_key(), ["opc-instance:x"])
    opened.for_ever |= {name: body(content) for name, content in chain.items()}
    with pytest.raises(RuntimeError, match="tenancy OCID"):
        theirs(opened)
    with pytest.raises(ConfigError, match="the instance's certificate names no tenancy"):
        ours("instance_principal")


@pytest.mark.parametrize("path", ["cert.pem", "key.pem", "instance/region", "x509"])
def test_only_the_sdk_follows_redirects(opened: Door, path: str) -> None:
    """Nobody else is asked for a credential, or shown one; the error says so."""
    opened.for_ever[path] = status(307, b"", location="?again")
    with pytest.raises(ConfigError, match="answered 307 instead of a principal") as refused:
        ours("instance_principal")
    assert "its redirect is not followed" in (refused.value.hint or "")
    if path != "x509":
        assert theirs(opened).tenancy_id


@pytest.mark.parametrize("path", ["cert.pem", "key.pem", "intermediate.pem", "instance/region", "x509"])
def test_only_we_limit_what_is_taken(opened: Door, path: str) -> None:
    """Megabytes around the right answer are refused; the SDK takes as much as comes."""
    opened.for_ever[path] = lambda answer: (answer[0], answer[1], answer[2] + b"\n" * 3_000_000)
    with pytest.raises(Transient, match="answered with more than any instance principal needs"):
        ours("instance_principal")
    assert theirs(opened).tenancy_id


def test_an_answer_that_does_not_come(opened: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request has a limited time, and so has all of it together."""
    monkeypatch.setattr(oci_asking, "_EACH", 0.3)
    monkeypatch.setattr(oci_asking, "_UNREACHABLE", 0.1)
    opened.for_ever["x509"] = late(2)
    with pytest.raises(Transient, match=r"did not end its answer within 0.3 s"):
        ours("instance_principal")
    monkeypatch.setattr(oci_asking, "_EACH", 20.0)
    monkeypatch.setattr(oci_asking, "_WHOLE", 0.6)
    with pytest.raises(Transient, match=r"cannot get the instance principal: not within 0.6 s"):
        ours("instance_principal")


@pytest.mark.parametrize(
    "region", ["x@127.0.0.1:9/", "evil.example", "eu-frankfurt-1/", "eu-frankfurt-1.evil.example", "", "\xff\n\n"]
)
def test_a_region_of_the_metadata_service_is_a_regions_name(opened: Door, region: str) -> None:
    """It becomes part of the host that the instance proves itself to, so nothing else is believed."""
    opened.for_ever["instance/region"] = body(region.encode("latin-1"))
    with pytest.raises(ConfigError, match="names a region that is none"):
        ours("instance_principal")
    assert "POST /v1/x509" not in opened.paths()


@pytest.mark.parametrize(("told", "meant"), [("IAD", "us-ashburn-1"), ("eu-frankfurt-1", "eu-frankfurt-1")])
def test_regions_have_short_names_too(opened: Door, told: str, meant: str) -> None:
    """Both read them alike, in any case."""
    opened.for_ever["instance/region"] = body(told.encode())
    assert ours("instance_principal").region == theirs(opened).region == meant


def test_metadata_of_version_1_alone(opened: Door) -> None:
    """Neither asks it unless it is named: a 404 at /opc/v2 is not an instance principal."""
    opened.for_ever["pem"] = status(404)
    with pytest.raises(ConfigError, match="the metadata service answered 404"):
        ours("instance_principal")
    with pytest.raises(oci.exceptions.ServiceError):
        theirs(opened)
    assert not [path for path in opened.paths() if "/opc/v1" in path]


def test_a_certificate_replaced_while_it_is_read(opened: Door) -> None:
    """Certificate and key that do not belong together are read again; the SDK is refused, and gives up."""
    opened.once("key.pem", another_key)
    assert ours("instance_principal").tenancy
    opened.once("key.pem", lambda answer: answer)
    opened.once("key.pem", another_key)
    with pytest.raises(oci.exceptions.ServiceError):
        theirs(opened)


def test_a_token_that_has_ended_already(opened: Door, cloud: LocalCloud) -> None:
    """Both take it, as clocks differ; whether it is still good the service decides."""
    ended = jwt.encode({"exp": 5, "iat": 1, "sub": "x"}, "k" * 32)
    opened.once("x509", body(json.dumps({"token": ended}).encode()))
    key = ours("instance_principal")
    assert key.expires_at == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=5)
    assert asyncio.run(accepted(cloud, key)) == 401
    opened.once("x509", body(json.dumps({"token": ended}).encode()))
    assert not theirs(opened).federation_client.security_token.valid()


@pytest.fixture
def leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[LocalCloud, Door, Any]]:
    """A cloud that trusts other authorities, and a way to give its instance a new certificate of theirs."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(b"")
    made: list[dict[str, bytes]] = []
    for tenancy in ("ocid1.tenancy.oc1..one", "ocid1.tenancy.oc1..one", "ocid1.tenancy.oc1..other"):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        root, middle, leaf = make_chain(key.public_key(), [f"opc-tenant:{tenancy}", "opc-instance:i"])
        pem = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
        made.append({"key.pem": pem, "intermediate.pem": middle, "cert.pem": leaf})
        roots.write_bytes(roots.read_bytes() + root)
    with LocalCloud(tmp_path / "cloud", "--federation-ca", str(roots), "--no-aws") as cloud, door(cloud) as opened:
        monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{opened.origin}/opc/v2")
        monkeypatch.setenv("OCI_ENDPOINT_URL", opened.origin)

        def give(number: int) -> None:
            opened.for_ever.update({name: body(content) for name, content in made[number].items()})

        give(0)
        yield cloud, opened, give


def test_a_leaf_that_was_rotated(leaves: tuple[LocalCloud, Door, Any], run: Callable[..., Any]) -> None:
    """A refresh proves itself with the new certificate. One of another tenancy is refused, by both."""
    cloud, opened, give = leaves
    identity = OciIdentity(OciSettings(auth="instance_principal"))
    signer = theirs(opened)

    async def work() -> list[int]:
        first = await identity.key()
        give(1)
        second = await identity.refresh(first)
        return [await accepted(cloud, first), await accepted(cloud, second)]

    assert run(work()) == [200, 200]
    signer.refresh_security_token()
    give(2)
    with pytest.raises(RuntimeError, match="Unexpected update of tenancy"):
        signer.refresh_security_token()

    async def refused() -> None:
        with pytest.raises(ConfigError, match="has come to belong to another tenancy"):
            await identity.refresh(await identity.key())

    run(refused())


REFUSAL = b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(("exceptions", "is_proxied"), [("", True), (".example", False)])
def test_only_the_metadata_service_has_no_proxy(
    exceptions: str, is_proxied: bool, opened: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate and its key are asked for directly, the token as everything else is."""
    monkeypatch.setenv("OCI_CLI_FEDERATION_ENDPOINT", "http://auth.example/v1/x509")

    async def main() -> None:
        async with serving(answering(REFUSAL)) as way:
            monkeypatch.setenv("ALL_PROXY", way.origin)
            monkeypatch.setenv("NO_PROXY", exceptions)
            with pytest.raises(Denied if is_proxied else Transient):
                await OciIdentity(OciSettings(auth="instance_principal")).key()
            asked = ["POST http://auth.example/v1/x509 HTTP/1.1"] if is_proxied else []
            assert [request.line for request in way.requests] == asked

    asyncio.run(main())
    assert "GET /opc/v2/identity/key.pem" in opened.paths()


@pytest.mark.parametrize("name", ["localhost", "auth.example"])
def test_the_federation_proves_its_name(
    name: str, opened: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent to a server whose certificate is another's; the hint names OCI's setting for authorities."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("OCI_CLI_CERT_BUNDLE", str(authority.bundle))

    async def main() -> Error:
        async with serving(answering(REFUSAL), tls=authority.server_context(name)) as server:
            monkeypatch.setenv("OCI_CLI_FEDERATION_ENDPOINT", f"https://localhost:{server.port}/v1/x509")
            with pytest.raises(Error) as refused:
                await OciIdentity(OciSettings(auth="instance_principal")).key()
            assert len(server.requests) == (name == "localhost")
            return refused.value

    error = asyncio.run(main())
    if name == "localhost":
        assert isinstance(error, Denied)
    else:
        assert "could not prove its name" in error.message
        assert "OCI_CLI_CERT_BUNDLE" in (error.hint or "")


def test_a_clock_that_is_off(opened: Door) -> None:
    """A refusal comes with what the service's clock says of ours."""
    there = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    opened.for_ever["x509"] = status(401, date=there)
    with pytest.raises(Denied) as refused:
        ours("instance_principal")
    assert re.match(r"this machine's clock is 7[12]\d\d s behind OCI's; check", refused.value.hint or "")


@pytest.mark.parametrize("variable", ["OCI_METADATA_BASE_URL", "OCI_CLI_FEDERATION_ENDPOINT"])
@pytest.mark.parametrize("address", ["http://[::1", "somewhere", "ftp://somewhere/", "http://h:99999/", "http://"])
def test_what_is_no_address(variable: str, address: str, opened: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that holds something else is an error of ours, not a traceback."""
    monkeypatch.setenv(variable, address)
    with pytest.raises(ConfigError, match="not an"):
        ours("instance_principal")


def test_threads_share_one_sign_in(opened: Door) -> None:
    """Eight event loops in eight threads ask at once: one federation."""
    identity = OciIdentity(OciSettings(auth="instance_principal"))
    found: list[SigningKey] = []
    gate = threading.Barrier(8)

    def ask() -> None:
        gate.wait()
        found.append(asyncio.run(identity.key()))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key.key_id for key in found}) == 1
    assert opened.paths().count("POST /v1/x509") == 1


# resources


@pytest.fixture
def resource(opened: Door, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Every variable that any version wants, for the function of the local OCI and for a leaf of the same name."""
    given = read_exports(cloud.directory / "oci" / "function.env")
    variables = {
        "RPST": shutil.copy(given[f"{PREFIX}_RPST"], tmp_path / "rpst"),
        "PRIVATE_PEM": given[f"{PREFIX}_PRIVATE_PEM"],
        "REGION": "iad",
        "RPT_ENDPOINT": opened.origin,
        "RPST_ENDPOINT": opened.origin,
        "RESOURCE_ID": cloud.facts["function"],
        "TENANCY_ID": cloud.tenancy,
        "SECURITY_CONTEXT": "c0ntext",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"{PREFIX}_{name}", str(value))
        monkeypatch.setenv(f"{PREFIX}_{name}_FOR_LEAF_RESOURCE", str(value))
    monkeypatch.setenv(f"{PREFIX}_RPST_ENDPOINT_FOR_PARENT_RESOURCE", opened.origin)
    monkeypatch.setenv(
        f"{PREFIX}_RPT_URL_FOR_PARENT_RESOURCE", f"{opened.origin}/20180711/resourcePrincipalTokenOfParent/1"
    )
    return {name: str(value) for name, value in variables.items()}


VERSIONS = ["1.1", "2.1", "2.1.1", "2.1.2", "2.2"]


def speak(monkeypatch: pytest.MonkeyPatch, version: str, leaf: str = "") -> None:
    monkeypatch.setenv(f"{PREFIX}_VERSION", version)
    monkeypatch.setenv(f"{PREFIX}_VERSION_FOR_LEAF_RESOURCE", leaf)


@pytest.mark.parametrize("version", VERSIONS)
def test_resources_sign_in_alike(
    version: str,
    opened: Door,
    cloud: LocalCloud,
    resource: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every version gives the same identity and region, by the same calls, and the services accept its key."""
    speak(monkeypatch, version)
    signer = sdk_resource()
    asked = [each for each in opened.paths() if "resourcePrincipal" in each]
    opened.seen.clear()
    key = ours("resource_principal")
    assert [each for each in opened.paths() if "resourcePrincipal" in each] == asked
    assert claims(key.key_id) == claims(signer.api_key)
    assert (key.tenancy, key.region) == (cloud.tenancy, signer.region)
    assert asyncio.run(accepted(cloud, key)) == 200
    contexts = [each.headers.get("security-context") for each in opened.seen if "TokenV212" in each.path]
    assert contexts == (["c0ntext"] if version == "2.1.2" else [])


@pytest.mark.parametrize("leaf", VERSIONS)
def test_parents_that_the_sdk_cannot_have(
    leaf: str, cloud: LocalCloud, resource: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 3.0 works with every leaf; the SDK takes no address that has a path, and no leaf of version 2.1."""
    speak(monkeypatch, "3.0", leaf)
    with pytest.raises((ValueError, oci.exceptions.InvalidResourcePrincipalArguments)):
        sdk_resource()
    assert asyncio.run(accepted(cloud, ours("resource_principal"))) == 200


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("", "/20180711/resourcePrincipalTokenV212/{}"),
        ("/20180711/resourcePrincipalTokenV2/{}", "/20180711/resourcePrincipalTokenV2/{}"),
        ("/20180711/resourcePrincipalTokenV2/", "/20180711/resourcePrincipalTokenV2/{}"),
        ("/20180711/resourcePrincipalTokenV2", "/20180711/resourcePrincipalTokenV2/{}"),
    ],
)
def test_the_path_of_version_2_1_2(
    path: str, asked: str, opened: Door, resource: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OCI_RESOURCE_PRINCIPAL_RPT_PATH, as both read it."""
    speak(monkeypatch, "2.1.2")
    monkeypatch.setenv(f"{PREFIX}_RPT_PATH", path)
    for get in (sdk_resource, lambda: ours("resource_principal")):
        opened.seen.clear()
        get()
        assert opened.paths()[0] == "GET " + asked.replace("{}", resource["RESOURCE_ID"])


@pytest.mark.parametrize("variables", [{"RPT_ID": "r1"}, {"RPT_PATH": "/resourcePrincipalToken/{id}"}, {}])
def test_the_path_of_version_1_1(
    variables: dict[str, str],
    opened: Door,
    resource: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A template and an id, of the variables or else the instance's own, as both read them."""
    speak(monkeypatch, "1.1")
    for name, value in variables.items():
        monkeypatch.setenv(f"{PREFIX}_{name}", value)
    asked = []
    for get in (sdk_resource, lambda: ours("resource_principal")):
        opened.seen.clear()
        get()
        asked.append([each for each in opened.paths() if "resourcePrincipalToken/" in each])
    assert asked[0] == asked[1] != []


REQUIRED = [
    ("1.1", "RPT_ENDPOINT"),
    *((version, name) for version in ("2.1", "2.1.1", "2.1.2") for name in ("RPT_ENDPOINT", "RPST_ENDPOINT")),
    *((version, name) for version in ("2.1", "2.1.1", "2.1.2") for name in ("RESOURCE_ID", "PRIVATE_PEM")),
    ("2.1.1", "TENANCY_ID"),
    ("2.1.2", "TENANCY_ID"),
    ("2.2", "RPST"),
    ("2.2", "PRIVATE_PEM"),
    ("3.0", "RPT_URL_FOR_PARENT_RESOURCE"),
    ("3.0", "RPST_ENDPOINT_FOR_PARENT_RESOURCE"),
    ("3.0", "RPST_FOR_LEAF_RESOURCE"),
]


@pytest.mark.parametrize(("version", "name"), REQUIRED)
def test_what_the_platform_has_to_say(
    version: str, name: str, resource: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is missing is named; the SDK refuses too."""
    speak(monkeypatch, version, "2.2")
    monkeypatch.delenv(f"{PREFIX}_{name}")
    with pytest.raises(ConfigError, match=rf"no resource principal: {PREFIX}_{name} is not set"):
        ours("resource_principal")
    with pytest.raises(Exception):  # noqa: B017 - the SDK has a dozen kinds
        sdk_resource()


def test_an_encrypted_key(resource: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint names the variable that holds the pass phrase where it is missing; a wrong one is said to be."""
    speak(monkeypatch, "2.2")
    key: Any = ser.load_pem_private_key(Path(resource["PRIVATE_PEM"]).read_bytes(), None)
    form = (ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.BestAvailableEncryption(b"hush"))
    monkeypatch.setenv(f"{PREFIX}_PRIVATE_PEM", key.private_bytes(*form).decode())
    with pytest.raises(ConfigError, match="is encrypted, and there is no pass phrase") as missing:
        ours("resource_principal")
    assert f"set {PREFIX}_PRIVATE_PEM_PASSPHRASE" in (missing.value.hint or "")
    monkeypatch.setenv(f"{PREFIX}_PRIVATE_PEM_PASSPHRASE", "wrong")
    with pytest.raises(ConfigError, match=r"the pass phrase of the private key .* is wrong"):
        ours("resource_principal")
    monkeypatch.setenv(f"{PREFIX}_PRIVATE_PEM_PASSPHRASE", "hush")
    assert claims(ours("resource_principal").key_id) == claims(sdk_resource().api_key)


def test_files_without_end(resource: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A token, a key or a pass phrase is read up to a megabyte."""
    speak(monkeypatch, "2.2")
    for name in ("RPST", "PRIVATE_PEM", "PRIVATE_PEM_PASSPHRASE"):
        monkeypatch.setenv(f"{PREFIX}_{name}", "/dev/zero")
        with pytest.raises(ConfigError, match="/dev/zero is larger than any of its kind") as refused:
            ours("resource_principal")
        assert refused.value.hint == f"{PREFIX}_{name} names it"
        monkeypatch.setenv(f"{PREFIX}_{name}", resource.get(name, ""))


def leading(url: str) -> Twist:
    return lambda answer: (answer[0], {**answer[1], "opc-parent-rpt-url": url}, answer[2])


@pytest.mark.parametrize(
    "url",
    ["http://evil.example/x", "https://evil.example/x", "https://oraclecloud.com.evil.example/", "//x", "h://["],
)
def test_a_parent_is_not_anywhere(
    url: str, opened: Door, resource: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the next parent is comes from an answer: only OCI's addresses and the present one are believed."""
    speak(monkeypatch, "3.0", "2.2")
    opened.for_ever["TokenOfParent/1"] = leading(url)
    with pytest.raises(Corrupt, match="leads to a parent that is not at an address of OCI's"):
        ours("resource_principal")


def test_parents_without_end(opened: Door, resource: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten parents are followed; a circle, and more than ten, are an error."""
    speak(monkeypatch, "3.0", "2.2")
    path = f"{opened.origin}/20180711/resourcePrincipalTokenOfParent"
    monkeypatch.setenv(f"{PREFIX}_RPT_URL_FOR_PARENT_RESOURCE", f"{path}/9")
    assert ours("resource_principal").tenancy
    monkeypatch.setenv(f"{PREFIX}_RPT_URL_FOR_PARENT_RESOURCE", f"{path}/10")
    with pytest.raises(ConfigError, match="form a circle, or are more than 10"):
        ours("resource_principal")
    opened.for_ever["TokenOfParent/0"] = leading(f"{path}/0")
    monkeypatch.setenv(f"{PREFIX}_RPT_URL_FOR_PARENT_RESOURCE", f"{path}/0")
    with pytest.raises(ConfigError, match="form a circle"):
        ours("resource_principal")


@pytest.mark.parametrize(
    ("path", "twist", "error", "message"),
    [
        ("V2/{}", status(404), Denied, "OCI refused the resource principal: 404 X: y"),
        ("V2/{}", status(503), Transient, "cannot get the resource principal: .* answered 503"),
        ("V2/{}", body(b'{"resourcePrincipalToken": "x"}'), Corrupt, "the answer has no servicePrincipalSessionT"),
        ("V2/{}", body(b'{"resourcePrincipalToken": {}}'), Corrupt, "a resourcePrincipalToken that is not text"),
        ("SessionToken", status(401), Denied, "OCI refused the resource principal: 401"),
        ("SessionToken", status(302, location="http://x/"), ConfigError, "answered 302 instead of a principal"),
        ("SessionToken", body(b'{"token": null}'), Corrupt, "the answer has no token"),
    ],
)
def test_resources_that_are_none(
    path: str,
    twist: Twist,
    error: type[Error],
    message: str,
    opened: Door,
    resource: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Either step can fail, and says how."""
    speak(monkeypatch, "2.1")
    opened.for_ever[path.replace("{}", resource["RESOURCE_ID"])] = twist
    with pytest.raises(error, match=message):
        ours("resource_principal")


def test_no_error_repeats_a_secret(
    opened: Door, resource: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even one that a service quotes, in its message, hint, traceback or in debug logs."""
    caplog.set_level(logging.DEBUG)
    tokens: list[str] = []

    def kept(answer: Answer) -> Answer:
        tokens.extend(json.loads(answer[2]).values())
        return answer

    def quoting(answer: Answer) -> Answer:
        said = f"{opened.seen[-1].body.decode()} {opened.seen[-1].headers['authorization']}"
        return 401, {}, json.dumps({"code": "NotAuthenticated", "message": said}).encode()

    texts = []
    for version in ("1.1", "2.1"):
        speak(monkeypatch, version)
        opened.once("TokenV2/" + resource["RESOURCE_ID"], kept)
        for path in ("SessionToken", "x509"):
            opened.once(path, quoting)
            try:
                ours("resource_principal")
            except Denied as error:
                texts.append("".join(traceback.format_exception(error)) + (error.hint or ""))
            opened.twists.clear()
    assert len(texts) >= 3
    assert tokens
    pem = (
        Path(resource["PRIVATE_PEM"]).read_text().splitlines()[8:-2]
    )  # the modulus, in the lines before, is public
    for text in [*texts, caplog.text]:
        assert [secret for secret in [*tokens, *pem] if secret in text] == []
        assert "eyJ" not in text


# pods


def test_pods_sign_in_alike(cloud: LocalCloud, pod: Any, tmp_path: Path) -> None:
    """The service account gives both the same identity."""
    signer = oci.auth.signers.get_oke_workload_identity_resource_principal_signer(
        service_account_token_path=str(tmp_path / "token")
    )
    key = ours("oke_workload_identity")
    assert claims(key.key_id) == claims(signer.api_key)
    assert key.region == signer.region
    assert asyncio.run(accepted(cloud, key)) == 200


WRAPPED = base64.b64encode(b'{"token": "ST$hush"}')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HTML, "the answer is not"),
        (b"", "the answer is not JSON"),
        (base64.b64encode(b"null"), "the answer is not a JSON object"),
        (base64.b64encode(b"{}"), "the answer has no token"),
        (base64.b64encode(b'{"token": []}'), "a token that is not text"),
        (WRAPPED, "the answer's token is none"),
    ],
)
def test_answers_to_pods_that_are_none(pod: Any, content: bytes, message: str) -> None:
    """Whatever comes instead of a token is an error that says what it is not."""
    pod.content = content
    with pytest.raises(Corrupt, match=rf"the workload identity: .*{message}") as refused:
        ours("oke_workload_identity")
    assert "hush" not in "".join(traceback.format_exception(refused.value))


def test_the_cluster_proves_its_name(pod: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The pod's token goes to nobody whose certificate another authority signed."""
    monkeypatch.setenv("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", str(Authority(tmp_path).bundle))
    with pytest.raises(ConfigError, match="could not prove its name") as refused:
        ours("oke_workload_identity")
    assert "OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH" in (refused.value.hint or "")
    monkeypatch.setenv("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"the CA file of the cluster .* does not exist"):
        ours("oke_workload_identity")


def test_a_service_account_without_an_end(pod: Any, tmp_path: Path) -> None:
    """Is refused by both, and so is a file that holds something else."""
    for content in (jwt.encode({"sub": "x"}, "k" * 32), "hush", ""):
        (tmp_path / "token").write_text(content)
        with pytest.raises(ConfigError, match="holds no service account's token"):
            ours("oke_workload_identity")
        with pytest.raises(Exception):  # noqa: B017
            oci.auth.signers.get_oke_workload_identity_resource_principal_signer(
                service_account_token_path=str(tmp_path / "token"), retry_strategy=oci.retry.NoneRetryStrategy()
            )


def test_a_token_in_a_variable(pod: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING goes before the file, as with the OCI CLI."""
    token = jwt.encode({"sub": "system:serviceaccount:a:b", "exp": int(time.time()) + 60}, "k" * 32)
    monkeypatch.setenv("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING", token)
    assert claims(ours("oke_workload_identity").key_id)["sub"] == "system:serviceaccount:a:b"


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_a_cluster_of_ipv6(host: str, pod: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of Kubernetes becomes part of an address, where IPv6 has brackets."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setattr(oci_asking, "_UNREACHABLE", 0.1)
    with pytest.raises(Transient, match="cannot connect to ::1:12250"):
        ours("oke_workload_identity")


# sessions


def test_sessions_sign_alike(cloud: LocalCloud, run: Callable[..., Any]) -> None:
    """The profile of a session gives both the same token, and key."""
    settings = OciSettings(auth="security_token", profile="SESSION", config_file=str(cloud.config))
    key = run(OciIdentity(settings).key())
    config = oci.config.from_file(str(cloud.config), "SESSION")
    private = oci.signer.load_private_key_from_file(config["key_file"])
    signer = oci.auth.signers.SecurityTokenSigner(Path(config["security_token_file"]).read_text().strip(), private)
    assert key.key_id == signer.api_key
    assert key.private_key.public_key() == signer.private_key.public_key()
    assert run(accepted(cloud, key)) == 200

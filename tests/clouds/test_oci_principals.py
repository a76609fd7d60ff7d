"""Instances, functions and pods, against a local OCI that verifies everything."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
import shutil
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from keepstep.clouds import oci_asking
from keepstep.clouds.http import HttpPool
from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_config import OciSettings
from keepstep.clouds.oci_signing import SigningKey, sign
from keepstep.errors import ConfigError, Corrupt, Denied, Error, Transient
from keepstep_localcloud.environment import read_exports
from keepstep_localcloud.server import LocalCloud

INSTANCE, RESOURCE, WORKLOAD = (
    OciSettings(auth=auth) for auth in ("instance_principal", "resource_principal", "oke_workload_identity")
)
PREFIX = "OCI_RESOURCE_PRINCIPAL"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second is long enough to wait for what never comes."""
    monkeypatch.setattr(oci_asking, "_UNREACHABLE", 0.5)
    monkeypatch.setattr(oci_asking, "_UNWILLING", 0.5)


async def status(cloud: LocalCloud, key: SigningKey) -> int:
    """Whether the cloud accepts the key."""
    pool = HttpPool(cloud.endpoint)
    headers = sign("GET", pool.netloc, "/n/", None, key, datetime.now(UTC))
    response = await pool.request("GET", "/n/", [("host", pool.netloc), *headers])
    await pool.close()
    return response.status


def test_an_instance(cloud: LocalCloud, run: Callable[..., Any]) -> None:
    """Metadata, certificate and federation give a key that the services accept; region and tenancy come with it."""

    async def work() -> tuple[SigningKey, int, SigningKey, int]:
        identity = OciIdentity(INSTANCE)
        key = await identity.key()
        new = await identity.refresh(key)
        return key, await status(cloud, key), new, await status(cloud, new)

    key, first, new, second = run(work())
    assert (first, second) == (200, 200)
    assert new.key_id != key.key_id
    assert (key.region, key.tenancy) == ("us-ashburn-1", cloud.tenancy)
    assert key.expires_at is not None
    assert timedelta(minutes=50) < key.expires_at - datetime.now(UTC) < timedelta(minutes=61)


def test_an_instance_in_another_region(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    """The region of settings and of OCI_CLI_REGION goes before the instance's own."""
    monkeypatch.setenv("OCI_CLI_REGION", "fra")
    assert run(OciIdentity(INSTANCE).key()).region == "eu-frankfurt-1"
    settings = OciSettings(auth="instance_principal", region="lhr")
    assert run(OciIdentity(settings).key()).region == "uk-london-1"


def test_many_requests_federate_once(cloud: LocalCloud, run: Callable[..., Any]) -> None:
    """Thirty-two requests at once use one key: there was one federation."""

    async def work() -> set[str]:
        identity = OciIdentity(INSTANCE)
        return {key.key_id for key in await asyncio.gather(*(identity.key() for _ in range(32)))}

    assert len(run(work())) == 1


def test_a_run_outlives_the_token(cloud: LocalCloud, clock: Any, run: Callable[..., Any]) -> None:
    """In mid-run, ten minutes before the end, a new token is fetched while requests go on with the old one."""

    async def work() -> list[Any]:
        identity = OciIdentity(INSTANCE, clock=clock)
        first = await identity.key()
        clock.ahead = 49 * 60
        assert await identity.key() is first
        clock.ahead = 51 * 60
        assert await identity.key() is first
        async with asyncio.timeout(10):
            while (second := await identity.key()) is first:
                await asyncio.sleep(0.01)
        return [second.key_id != first.key_id, await status(cloud, first), await status(cloud, second)]

    assert run(work()) == [True, 200, 200]


def test_a_booting_instance(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]) -> None:
    """A metadata service that answers 404 at first is asked again."""
    monkeypatch.setattr(oci_asking, "_UNWILLING", 20.0)
    cloud.fault("GetInstanceIdentity", times=2, status=404)
    cloud.fault("X509Federation", times=1, status=503)
    assert run(OciIdentity(INSTANCE).key()).tenancy == cloud.tenancy


def no_metadata(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server.close()
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{server.url}/opc/v2")


def not_on_oci(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{server.url}/opc/v2")


def no_federation(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server.close()
    monkeypatch.setenv("OCI_ENDPOINT_URL", server.url)


def refused(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCI_CLI_FEDERATION_ENDPOINT", f"{server.url}/v1/x509")
    body = json.dumps({"code": "NotAuthenticated", "message": "no such instance"})
    server.answers["/v1/x509"] = (401, body)


def overloaded(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCI_CLI_FEDERATION_ENDPOINT", f"{server.url}/v1/x509")
    server.answers["/v1/x509"] = (500, json.dumps({"code": "InternalError", "message": "sorry"}))


def no_answer(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCI_CLI_FEDERATION_ENDPOINT", f"{server.url}/v1/x509")
    server.answers["/v1/x509"] = "{}"


INSTANCE_FAULTS = [
    (no_metadata, ConfigError, "no instance principal: no metadata service answers at 127.0.0.1", "container"),
    (not_on_oci, ConfigError, "no instance principal: the metadata service answered 404", "oci setup config"),
    (no_federation, Transient, "cannot get the instance principal: cannot connect to 127.0.0.1", ""),
    (refused, Denied, "OCI refused the instance principal: 401 NotAuthenticated: no such", "dynamic-group"),
    (overloaded, Transient, r"cannot get the instance principal: 127.0.0.1:\d+ answered 500 InternalError", ""),
    (no_answer, Corrupt, "the instance principal: the answer has no token", ""),
]


@pytest.mark.parametrize(("arrange", "error", "message", "hint"), INSTANCE_FAULTS)
def test_instances_that_are_none(
    arrange: Callable[..., None],
    error: type[Error],
    message: str,
    hint: str,
    cloud: LocalCloud,
    server: Any,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., Any],
) -> None:
    """Every step on the way to an instance principal can fail, and says where, soon, and what to do."""
    arrange(server, monkeypatch)
    began = time.monotonic()
    with pytest.raises(error, match=message) as failed:
        run(OciIdentity(INSTANCE).key())
    assert hint in (failed.value.hint or "")
    assert time.monotonic() - began < 10


@pytest.fixture
def function(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment of an OCI Function, its token and key copied to files of the test's own."""
    variables = read_exports(cloud.directory / "oci" / "function.env")
    for name in ("RPST", "PRIVATE_PEM"):
        variables[f"{PREFIX}_{name}"] = shutil.copy(variables[f"{PREFIX}_{name}"], str(tmp_path / name))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def test_a_function(cloud: LocalCloud, function: dict[str, str], run: Callable[..., Any]) -> None:
    """Token and key in files give a key that the services accept; without a setting it is found."""

    async def work() -> tuple[SigningKey, int]:
        identity = OciIdentity()
        assert identity.kind == "resource_principal"
        key = await identity.key()
        return key, await status(cloud, key)

    key, accepted = run(work())
    assert accepted == 200
    assert (key.tenancy, key.region) == (cloud.tenancy, "us-ashburn-1")


def test_values_instead_of_files(
    cloud: LocalCloud, function: dict[str, str], monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    """Token and key may stand in the variables themselves."""
    for name in ("RPST", "PRIVATE_PEM"):
        monkeypatch.setenv(f"{PREFIX}_{name}", Path(function[f"{PREFIX}_{name}"]).read_text())
    assert run(status(cloud, run(OciIdentity(RESOURCE).key()))) == 200


@pytest.mark.parametrize("is_file", [True, False])
def test_a_key_with_a_pass_phrase(
    is_file: bool,
    cloud: LocalCloud,
    function: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run: Callable[..., Any],
) -> None:
    """A pass phrase works as a value and as a file, which the OCI SDK itself fails to open."""
    file = Path(function[f"{PREFIX}_PRIVATE_PEM"])
    key: Any = ser.load_pem_private_key(file.read_bytes(), None)
    encryption = ser.BestAvailableEncryption(b"phrase")
    file.write_bytes(key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, encryption))
    phrase = tmp_path / "phrase"
    phrase.write_text("phrase\n")
    monkeypatch.setenv(f"{PREFIX}_PRIVATE_PEM_PASSPHRASE", str(phrase) if is_file else "phrase")
    assert run(status(cloud, run(OciIdentity(RESOURCE).key()))) == 200


def test_a_token_that_the_platform_replaced(
    cloud: LocalCloud, function: dict[str, str], run: Callable[..., Any]
) -> None:
    """After a refusal token and key are read again from their files."""
    file = Path(function[f"{PREFIX}_RPST"])
    claims = jwt.decode(file.read_text(), options={"verify_signature": False})

    async def work() -> tuple[SigningKey, SigningKey]:
        identity = OciIdentity(RESOURCE)
        old = await identity.key()
        file.write_text(jwt.encode({**claims, "jti": "next"}, "k" * 32))
        return old, await identity.refresh(old)

    old, new = run(work())
    assert new.key_id == f"ST${file.read_text()}"
    assert new.key_id != old.key_id


RESOURCE_FAULTS = [
    ({f"{PREFIX}_VERSION": None}, "no resource principal: OCI_RESOURCE_PRINCIPAL_VERSION is not set"),
    ({f"{PREFIX}_RPST": None}, "OCI_RESOURCE_PRINCIPAL_RPST is not set"),
    ({f"{PREFIX}_PRIVATE_PEM": None}, "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM is not set"),
    ({f"{PREFIX}_RPST": "/nowhere/rpst"}, "the session token /nowhere/rpst does not exist"),
    ({f"{PREFIX}_RPST": "hush-hush"}, "OCI_RESOURCE_PRINCIPAL_RPST holds no session token"),
    ({f"{PREFIX}_PRIVATE_PEM": "hush-hush"}, "the private key OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM is not PEM"),
    ({f"{PREFIX}_VERSION": "9.9"}, "OCI_RESOURCE_PRINCIPAL_VERSION is '9.9', which keepstep does not know"),
]


@pytest.mark.parametrize(("changes", "message"), RESOURCE_FAULTS)
def test_functions_that_are_none(
    changes: dict[str, str | None],
    message: str,
    function: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., Any],
) -> None:
    """A variable that is missing or wrong is named; what it holds is not shown."""
    for name, value in changes.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message) as failed:
        run(OciIdentity(RESOURCE).key())
    assert "hush" not in f"{failed.value}{failed.value.hint}"


class Proxymux:
    """OKE's token service as a pod sees it: https on port 12250 of the Kubernetes address."""

    def __init__(self, cloud: LocalCloud, folder: Path) -> None:
        self.host = f"127.{random.randrange(1, 255)}.{random.randrange(255)}.{random.randrange(1, 255)}"
        self.ca = folder / "ca.crt"
        self.answer: int | None = None
        self.content: bytes | None = None
        """What is answered instead of a token."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if outer.answer:
                    self.send_error(outer.answer)
                    return
                url = cloud.endpoint + self.path
                headers = {"authorization": self.headers["authorization"], "content-type": "application/json"}
                with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
                    content = answer.read() if outer.content is None else outer.content
                self.send_response(200)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer((self.host, 12250), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate(folder))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _certificate(self, folder: Path) -> Path:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), 7, now - timedelta(1), now + timedelta(1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(self.host))]), False)
            .add_extension(x509.BasicConstraints(True, None), True)
            .sign(key, hashes.SHA256())
        )
        self.ca.write_bytes(certificate.public_bytes(ser.Encoding.PEM))
        both = folder / "server.pem"
        form = (ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
        both.write_bytes(key.private_bytes(*form) + self.ca.read_bytes())
        return both

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def pod(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxymux]:
    """A pod's environment: Kubernetes' address, its CA, and a projected service account token."""
    proxymux = Proxymux(cloud, tmp_path)
    token = tmp_path / "token"
    token.write_text(jwt.encode({"sub": "system:serviceaccount:jobs:sync", "exp": int(time.time()) + 60}, "k" * 32))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", proxymux.host)
    monkeypatch.setenv("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", str(proxymux.ca))
    monkeypatch.setenv("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH", str(token))
    monkeypatch.setenv(f"{PREFIX}_REGION", "us-ashburn-1")
    yield proxymux
    proxymux.close()


def test_a_pod(cloud: LocalCloud, pod: Proxymux, run: Callable[..., Any]) -> None:
    """The service account is exchanged for a key that the services accept, and again when it was refused."""

    async def work() -> list[Any]:
        identity = OciIdentity(WORKLOAD)
        key = await identity.key()
        new = await identity.refresh(key)
        return [key.region, new.key_id != key.key_id, await status(cloud, key), await status(cloud, new)]

    assert run(work()) == ["us-ashburn-1", True, 200, 200]


def test_pods_that_are_none(
    pod: Proxymux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    """A basic cluster, a token that is not mounted or has ended, and no cluster at all are told apart."""
    pod.answer = 403
    with pytest.raises(Denied, match="OCI refused the workload identity: 403") as refused:
        run(OciIdentity(WORKLOAD).key())
    assert "the cluster must be an enhanced one" in (refused.value.hint or "")
    assert "request.principal.service_account = 'sync'" in (refused.value.hint or "")
    (tmp_path / "token").write_text(jwt.encode({"exp": 1}, "k" * 32))
    with pytest.raises(ConfigError, match="has expired"):
        run(OciIdentity(WORKLOAD).key())
    (tmp_path / "token").unlink()
    with pytest.raises(ConfigError, match=r"the service account's token /.*/token does not exist"):
        run(OciIdentity(WORKLOAD).key())
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(ConfigError, match="this is not a Kubernetes pod"):
        run(OciIdentity(WORKLOAD).key())

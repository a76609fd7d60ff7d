"""Vaults and container engines behind servers that answer with something else than what their APIs promise."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from keepstep.cli.running import run
from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.oci import OciIdentity
from keepstep.containers.docker import ContainerEngines
from keepstep.containers.interface import Kind, Notice
from keepstep.errors import Error
from keepstep.vaults.aws_parameters import ParameterStoreVault
from keepstep.vaults.aws_staging import SecretsManagerStages
from keepstep.vaults.oci_staging import OciVaultStages
from keepstep_localcloud.server import LocalCloud

# At the recursion limit, where deep nesting ends, finalizers that happen to run fail too; pytest would report that.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SECRET = "S3cr3t"
NAME = "ocid1.vaultsecret.oc1.iad.aaaahostile"
BUNDLE = {
    "secretId": NAME,
    "versionNumber": 1,
    "stages": ["CURRENT"],
    "secretBundleContent": {"contentType": "BASE64", "content": "UzNjcjN0"},
    "lifecycleState": "ACTIVE",
    "currentVersionNumber": 1,
}
AWS = {
    "ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:x-AbCdEf",
    "Name": "x",
    "VersionId": "a" * 32,
    "SecretString": SECRET,
    "VersionStages": ["AWSCURRENT"],
    "VersionIdsToStages": {"a" * 32: ["AWSCURRENT"]},
    "Versions": [{"VersionId": "a" * 32, "VersionStages": ["AWSCURRENT"]}],
    "Parameter": {"Name": "x", "Value": SECRET, "Version": 1},
    "Parameters": [{"Name": "x", "Value": SECRET, "Version": 1}],
}
WRONG: list[Any] = [None, True, -1, 1.5, "x\ud800", "text", [], ["x"], [[]], {}, {"x": "y"}, 10**30]
WHOLE = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"S3cr3t"',
    b"3",
    b"[null]",
    b'[{"x": []}]',
    b"<html><body>S3cr3t</body></html>",
    b"\xff\xfe S3cr3t",
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b'{"versionNumber": ' + b"9" * 5000 + b"}",
    b'{"SecretString": "S3cr3t", ',
]


@dataclass
class Liar:
    """A server that gives every request the same answer."""

    url: str = ""
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def _liar() -> Iterator[Liar]:
    liar = Liar()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(liar.status)
            for name, value in {"content-length": str(len(liar.body)), "etag": "e", **liar.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(liar.body)

        do_POST = do_PUT = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    liar.url = f"http://127.0.0.1:{server.server_port}"
    yield liar
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def _cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture
def liar(_liar: Liar, _cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Liar:
    """In the place of both clouds."""
    for name, value in _cloud.env.items():
        monkeypatch.setenv(name, value)
    for name in ("OCI_ENDPOINT_URL", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, _liar.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    _liar.status = 200
    return _liar


Ask = Callable[[Any], Awaitable[Any]]
QUESTIONS: dict[str, tuple[Callable[[], Any], Ask, dict[str, Any]]] = {
    "OCI get": (lambda: OciVaultStages(OciIdentity()), lambda vault: vault.get(NAME), BUNDLE),
    "OCI versions": (lambda: OciVaultStages(OciIdentity()), lambda vault: vault.versions(NAME), BUNDLE),
    "OCI look": (lambda: OciVaultStages(OciIdentity()), lambda vault: vault.describe(NAME, versions=False), BUNDLE),
    "AWS get": (lambda: SecretsManagerStages(AwsIdentity()), lambda vault: vault.get("x"), AWS),
    "AWS versions": (lambda: SecretsManagerStages(AwsIdentity()), lambda vault: vault.versions("x"), AWS),
    "AWS look": (lambda: SecretsManagerStages(AwsIdentity()), lambda vault: vault.describe("x"), AWS),
    "SSM get": (lambda: ParameterStoreVault(AwsIdentity()), lambda vault: vault.get("x"), AWS),
    "SSM versions": (lambda: ParameterStoreVault(AwsIdentity()), lambda vault: vault.versions("x"), AWS),
}


def asked(question: str, bodies: list[bytes], liar: Liar) -> list[Error | None]:
    """What each answer leads to: an error of ours, or None where it was taken. Anything else is raised."""
    make, ask, _ = QUESTIONS[question]

    async def main() -> list[Error | None]:
        vault = make()
        outcomes: list[Error | None] = []
        try:
            for liar.body in bodies:
                try:
                    await ask(vault)
                    outcomes.append(None)
                except Error as exc:
                    outcomes.append(exc)
        finally:
            await vault.close()
        return outcomes

    return run(main())


def check(outcomes: list[Error | None]) -> None:
    for error in filter(None, outcomes):
        chain = f"{error}{error.hint}{error.__cause__!r}"
        assert SECRET not in chain
        assert "internal" not in chain
        assert len(chain) < 1500
        assert NAME in str(error) or "x" in str(error)


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_that_is_something_else(question: str, liar: Liar) -> None:
    """Pages of proxies, other JSON, deep nesting, huge numbers: an error names the secret and quotes nothing."""
    outcomes = asked(question, WHOLE, liar)
    check(outcomes)
    taken = [body for body, error in zip(WHOLE, outcomes, strict=True) if error is None]
    assert taken == ([b"[]"] if question == "OCI versions" else [])


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_field_that_is_something_else(question: str, liar: Liar) -> None:
    """Each field of an answer, missing or of any other type: an error that names the secret, or no harm."""
    right = QUESTIONS[question][2]
    bodies = [json.dumps(list_if(question, {**right, name: value})).encode() for name in right for value in WRONG]
    bodies += [
        json.dumps(list_if(question, {k: v for k, v in right.items() if k != name})).encode() for name in right
    ]
    inner = [name for name, value in right.items() if isinstance(value, dict)]
    bodies += [
        json.dumps({**right, name: {**right[name], field: value}}).encode()
        for name in inner
        for field in right[name]
        for value in WRONG
    ]
    check(asked(question, bodies, liar))
    assert asked(question, [json.dumps(list_if(question, right)).encode()], liar) == [None]


def list_if(question: str, document: dict[str, Any]) -> Any:
    return [document] if question == "OCI versions" else document


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 500, 503])
def test_a_refusal_that_is_something_else(status: int, liar: Liar) -> None:
    """Bodies of errors are checked and shortened too: a megabyte of text does not get into a message."""
    liar.status = status
    bodies = [
        *WHOLE,
        b"x" * 1_000_000,
        b'{"code": [], "message": {}, "__type": 3}',
        b'{"message": "' + b"m" * 1_000_000 + b'"}',
    ]
    for question in ("OCI get", "AWS get"):
        for error in asked(question, [body for body in bodies if b"S3cr3t" not in body], liar):
            assert error is not None
            assert len(str(error)) < 1000


@pytest.mark.parametrize(
    "body", [*WHOLE, b'[{"Id": 3}]', b'[{"Names": null}]', b'{"Id": "a", "State": 3, "Mounts": 5}']
)
@pytest.mark.parametrize("kind", [Kind.CONTAINER, Kind.LABEL])
def test_an_engine_that_is_something_else(kind: Kind, body: bytes, liar: Liar) -> None:
    """What is not a container engine makes a notice that is still due, never a traceback."""
    liar.body = body
    engines = ContainerEngines(lambda: [liar.url.replace("http", "tcp")])

    async def tell() -> None:
        try:
            await engines.notify(Notice(kind, "web", "SIGHUP"), ["/run/secrets/x"])
        finally:
            await engines.close()

    with pytest.raises(Error) as refusal:
        asyncio.run(tell())
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("question", [name for name in QUESTIONS if "versions" in name])
def test_pages_that_lead_in_a_circle(question: str, liar: Liar) -> None:
    """A list whose next page is one that was read already is an error, not a loop."""
    document = {**QUESTIONS[question][2], "NextToken": "again"}
    liar.headers = {"opc-next-page": "again"}
    try:
        [error] = asked(question, [json.dumps(list_if(question, document)).encode()], liar)
    finally:
        liar.headers = {}
    assert "leads back" in str(error)

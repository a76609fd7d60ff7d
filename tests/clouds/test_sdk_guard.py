"""Clients that are not ours keep our rules: limits, no redirects, proxies, a name, and addresses that are raced."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from keepstep.clouds import sdk_guard
from keepstep.clouds.aws import AwsIdentity, AwsSettings
from keepstep.clouds.http import USER_AGENT
from keepstep.clouds.oci import OciIdentity, OciSettings
from keepstep.containers.docker import ContainerEngines
from keepstep.containers.interface import Kind, Notice
from keepstep.errors import ConfigError, Error, Transient
from keepstep.vaults.aws_calls import AwsCalls
from tests.clouds.wire import Authority, Handler, Peer, Server, answering, serving

HEAD = b"HTTP/1.1 200 OK\r\n"
REDIRECT = b"HTTP/1.1 302 Found\r\nlocation: %s/stolen\r\ncontent-length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys, no profile, no region but the one of the tests."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0.01)
    monkeypatch.setattr("keepstep.clouds.oci_asking._UNREACHABLE", 0.5)
    monkeypatch.setattr("keepstep.clouds.oci_asking._UNWILLING", 0.5)


Ask = Callable[[str, pytest.MonkeyPatch], Coroutine[Any, Any, Any]]


async def secrets_manager(origin: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_ENDPOINT_URL", origin)
    calls = AwsCalls("secretsmanager", AwsIdentity())
    try:
        return await calls.call("GetSecretValue", "secret s", None, SecretId="s")
    finally:
        await calls.close()


async def container(origin: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{origin}/v1/credentials")
    return await AwsIdentity().credentials()


async def instance(origin: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", origin)
    monkeypatch.setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1")
    return await AwsIdentity().credentials()


async def oci_instance(origin: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{origin}/opc/v2")
    return await OciIdentity(OciSettings(auth="instance_principal")).key()


async def docker(origin: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    engines = ContainerEngines(lambda: [origin.replace("http", "tcp")])
    try:
        return await engines.notify(Notice(Kind.CONTAINER, "web", "SIGHUP"), [])
    finally:
        await engines.close()


CLIENTS: dict[str, Ask] = {
    "Secrets Manager": secrets_manager,
    "container credentials": container,
    "instance metadata": instance,
    "OCI metadata": oci_instance,
    "Docker": docker,
}


@pytest.fixture(params=list(CLIENTS.values()), ids=list(CLIENTS))
def ask(request: pytest.FixtureRequest) -> Ask:
    client: Ask = request.param
    return client


def meet(
    handler: Handler,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    look: Callable[[Server], None] = lambda server: None,
) -> Any:
    """What a client gets from a server; ``look`` sees what it asked."""

    async def main() -> Any:
        async with serving(handler) as server:
            try:
                return await asyncio.wait_for(ask(server.origin, monkeypatch), 50)
            finally:
                look(server)

    return asyncio.run(main())


class Poured:
    """Sends without end, and counts."""

    def __init__(self, first: bytes, piece: bytes, pause: float = 0) -> None:
        self.sent = 0
        self._first = first
        self._piece = piece
        self._pause = pause

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        await peer.send(self._first)
        for piece in repeat(self._piece):
            await peer.send(piece)
            self.sent += len(piece)
            await asyncio.sleep(self._pause)


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (HEAD + b"content-length: 9999999999\r\n\r\n", b"x" * 65536),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        (HEAD + b"\r\n", b"x" * 65536),
        (b"HTTP/1.1 500 X\r\n\r\n", b"x" * 65536),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n1;", b"e" * 65536),
    ],
    ids=["sized", "chunked", "unsized", "an error", "interim", "extension"],
)
def test_no_answer_is_taken_without_end(
    ask: Ask, first: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gigabytes from any of them end in an error after some megabytes, tried a few times."""
    monkeypatch.setattr(sdk_guard, "_MOST", 1024 * 1024)
    poured = Poured(first, piece)
    with pytest.raises(Error):
        meet(poured, ask, monkeypatch)
    assert poured.sent < 200 * 1024 * 1024


def test_no_answer_drips_without_end(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then is not silence, and still ends in an error."""
    monkeypatch.setattr(sdk_guard, "_LONGEST", 0.5)
    monkeypatch.setattr("keepstep.clouds.oci_asking._EACH", 0.5)
    with pytest.raises(Error):
        meet(Poured(HEAD + b"content-length: 999999\r\n\r\n", b"x", 0.1), ask, monkeypatch)


def test_a_compressed_bomb_is_not_unpacked(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred megabytes in a hundred kilobytes, and encodings that nobody asked for."""
    bomb = gzip.compress(bytes(100_000_000), 9)
    for coding, body in (("gzip", bomb), ("br", b"x"), ("gzip, gzip", bomb)):
        raw = HEAD + f"content-encoding: {coding}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        with pytest.raises(Error):
            meet(answering(raw), ask, monkeypatch)


@pytest.mark.parametrize(
    "body", [b"<html>a portal</html>", b"null", b"[]", b'"x"', b"[" * 100_000, b"{}", b"\xff\xfe"]
)
def test_no_answer_becomes_a_traceback(ask: Ask, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not the answer to the question is an error of ours, whatever it is."""
    raw = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    try:
        meet(answering(raw), ask, monkeypatch)
    except Error as error:
        assert "portal" not in error.message
    else:
        assert ask is secrets_manager  # the vault looks at the fields


def test_redirects_are_not_followed(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is asked for a credential, or told one."""

    async def main() -> None:
        async with serving(answering(HEAD + b"content-length: 2\r\n\r\nok")) as thief:
            async with serving(answering(REDIRECT % thief.origin.encode())) as server:
                with pytest.raises(Error):
                    await asyncio.wait_for(ask(server.origin, monkeypatch), 50)
                assert server.requests
            assert thief.requests == []

    asyncio.run(main())


def test_every_request_names_its_sender(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Access logs and firewalls see keepstep and its version, whichever library asks."""
    agents: list[str] = []

    def look(server: Server) -> None:
        for request in server.requests:
            agents.append({name.lower(): value for name, value in request.headers.items()}.get("user-agent", ""))

    with pytest.raises(Error):
        meet(answering(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"), ask, monkeypatch, look)
    assert agents
    assert all(agent.startswith(USER_AGENT) for agent in agents)


@pytest.mark.parametrize("client", ["container credentials", "instance metadata", "OCI metadata"])
def test_metadata_is_never_asked_through_a_proxy(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though HTTP_PROXY is set and NO_PROXY is not: what is asked there is a credential, or a private key."""

    async def main() -> None:
        refusal = b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"
        async with serving(answering(refusal)) as way, serving(answering(refusal)) as server:
            for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, way.origin)
            with pytest.raises(Error):
                await asyncio.wait_for(CLIENTS[client](server.origin, monkeypatch), 50)
            assert way.requests == []
            assert server.requests

    asyncio.run(main())


@pytest.mark.parametrize(("exceptions", "is_proxied"), [("", True), ("10.0.0.0/8,.example", False)])
def test_services_are_asked_through_the_proxy(
    exceptions: str, is_proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore reads ALL_PROXY and NO_PROXY as everything else does."""
    secret = json.dumps({"SecretString": "x", "VersionStages": ["AWSCURRENT"]}).encode()

    async def main() -> None:
        async with serving(answering(HEAD + b"content-length: %d\r\n\r\n" % len(secret) + secret)) as way:
            monkeypatch.setenv("ALL_PROXY", way.origin)
            monkeypatch.setenv("NO_PROXY", exceptions)
            if is_proxied:
                await secrets_manager("http://secrets.example", monkeypatch)
                assert way.requests[0].line.startswith("POST http://secrets.example/")
            else:
                with pytest.raises(Transient):
                    await secrets_manager("http://secrets.example", monkeypatch)
                assert way.requests == []

    asyncio.run(main())


def test_addresses_are_raced_for_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """urllib3 connects where our own client does, in threads and next to an event loop."""
    import urllib3

    sdk_guard.guard()

    async def main() -> None:
        async with serving(answering(HEAD + b"content-length: 2\r\n\r\nok")) as server:

            def fetch() -> bytes:
                with urllib3.PoolManager() as pool:
                    return bytes(pool.request("GET", f"http://localhost:{server.port}/").data)

            assert await asyncio.to_thread(fetch) == b"ok"

    asyncio.run(main())


# tokens in files


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], Callable[[str], None]]]:
    """A pod identity agent: the tokens that it was shown, and a way to name the file that holds one."""
    shown: list[str] = []
    answer = json.dumps(
        {"AccessKeyId": "A", "SecretAccessKey": "S", "Token": "T", "Expiration": "2099-01-01T00:00:00Z"}
    ).encode()

    async def agent(peer: Peer) -> None:
        while True:
            shown.append((await peer.request()).headers.get("Authorization", ""))
            await peer.send(HEAD + b"content-length: %d\r\n\r\n" % len(answer) + answer)

    ready, done = threading.Event(), threading.Event()

    async def main() -> None:
        async with serving(agent) as server:
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.origin}/v1/credentials")
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    ready.wait()
    yield shown, lambda path: monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path)
    done.set()
    thread.join()


@pytest.mark.parametrize("text", ["token", "token\n", "token \r\n", "\n token\n\n"])
def test_blanks_around_a_token_are_not_part_of_it(pod: Any, tmp_path: Path, text: str) -> None:
    """Editors and templates end files with a line break."""
    shown, name = pod
    (tmp_path / "token").write_text(text)
    name(str(tmp_path / "token"))
    credentials = asyncio.run(AwsIdentity().credentials())
    assert credentials is not None
    assert credentials.access_key == "A"
    assert shown == ["token"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"", "holds no token: it is empty"),
        (b"\n", "holds no token: it is empty"),
        (b"hush\nhush", "holds no token: it is several lines"),
        (b"hush\0", "holds no token"),
        (b"\xff\xfe", "holds no token: it is not text"),
        (b"x" * 1_000_000, "is too large to hold a token"),
    ],
)
@pytest.mark.parametrize("kind", ["pod identity", "web identity"])
def test_a_file_without_a_token_is_named(
    pod: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str, kind: str
) -> None:
    """The path and the variable that names it, never what is in it."""
    shown, name = pod
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    if kind == "pod identity":
        name(str(path))
    else:
        monkeypatch.delenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(path))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
    with pytest.raises(ConfigError) as caught:
        asyncio.run(AwsIdentity(AwsSettings()).credentials())
    assert str(path) in caught.value.message
    assert message in caught.value.message
    assert "hush" not in str(caught.value)
    assert shown == []


def test_a_host_that_credentials_are_not_fetched_from_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting of the user's, so an error with what may stand there."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/credentials")
    with pytest.raises(ConfigError, match="AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        asyncio.run(AwsIdentity().credentials())


@pytest.mark.parametrize("client", ["Secrets Manager", "container credentials", "OCI metadata"])
def test_a_common_name_proves_nothing_to_libraries(
    client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a subject alternative name is a name (RFC 9525), whichever library asks."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))

    ask = CLIENTS[client]

    async def main(has_alternative: bool) -> int:
        tls = authority.server_context("localhost", has_alternative=has_alternative)
        async with serving(answering(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"), tls=tls) as server:
            with suppress(Error):
                await asyncio.wait_for(ask(server.origin, monkeypatch), 50)
            return len(server.requests)

    # For a container's credentials the system's authorities alone are trusted, so it is asked nothing either way.
    assert bool(asyncio.run(main(True))) is (client != "container credentials")
    assert asyncio.run(main(False)) == 0

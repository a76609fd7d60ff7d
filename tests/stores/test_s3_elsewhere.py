"""Stores that send us elsewhere, and stores that want other credentials: believed only as far as is safe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from keepstep.clouds.aws import AwsIdentity, AwsSettings
from keepstep.clouds.aws_chain import open_session
from keepstep.clouds.http import Response
from keepstep.clouds.s3_endpoint import S3Facts, s3_endpoint
from keepstep.errors import ConfigError, Error, Transient
from keepstep.stores import oci_errors
from keepstep.stores.s3_client import S3Client
from keepstep.stores.s3_elsewhere import region_in
from keepstep.stores.s3_errors import error_of
from keepstep.vaults import oci_errors as vault_errors
from tests.clouds.wire import Peer, Server, serving

HOSTILE = "x@127.0.0.1:9/"
MALFORMED = "<Code>AuthorizationHeaderMalformed</Code>"


def answer(status: int, body: str = "", **headers: str) -> Response:
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, body.encode())


@pytest.mark.parametrize(
    ("response", "of_aws", "of_others"),
    [
        (answer(301, x_amz_bucket_region="eu-west-1"), "eu-west-1", "eu-west-1"),
        (answer(301, x_amz_bucket_region="us-gov-west-1"), "us-gov-west-1", "us-gov-west-1"),
        (answer(400, "<Region>eusc-de-east-1</Region>"), "eusc-de-east-1", "eusc-de-east-1"),
        (answer(400, "<Region>garage_1</Region>"), None, "garage_1"),
        (answer(400, "the region 'us-east-1' is wrong; expecting 'garage'"), None, "garage"),
        (answer(400, "the region &apos;us-east-1&apos; is wrong; expecting &apos;eu-1&apos;"), None, "eu-1"),
        (answer(400, "the region 'us-east-1' is wrong; expecting 'eu-west-1'"), "eu-west-1", "eu-west-1"),
        (answer(400, "expected: 20260101/garage/s3/aws4_request"), None, "garage"),
        (answer(307, "<Endpoint>b.s3-eu-west-1.amazonaws.com</Endpoint>"), "eu-west-1", "eu-west-1"),
        (answer(307, location="https://b.s3.ap-south-1.amazonaws.com/k"), "ap-south-1", "ap-south-1"),
        # the one that was asked is not another one
        (answer(400, "<Region>us-east-1</Region>"), None, None),
        (answer(400, "expecting a valid region"), None, None),
        (answer(301), None, None),
        # what is not a region's name as a whole
        (answer(301, x_amz_bucket_region=HOSTILE), None, None),
        (answer(301, "<Region>eu-west-1</Region>", x_amz_bucket_region=HOSTILE), None, None),
        (answer(400, f"<Region>{HOSTILE}</Region>"), None, None),
        (answer(400, f"expecting '{HOSTILE}'"), None, None),
        (answer(400, "<Region>evil.example</Region>"), None, None),
        (answer(400, "<Region>eu-west-1.evil.example</Region>"), None, None),
        (answer(400, "<Region>eu-west-1\n</Region>"), None, None),
        (answer(400, "<Region>eu-west-1#</Region>"), None, None),
        (answer(400, "<Region>eu-west-١</Region>"), None, None),
        (answer(400, "<Region>eu-west-1&#47;x</Region>"), None, None),
        (answer(307, location="https://s3.eu-west-1.amazonaws.com.evil.example/"), "eu-west-1", "eu-west-1"),
    ],
    ids=lambda value: f"{value.headers} {bytes(value.body)!r}"[:90] if isinstance(value, Response) else "",
)
def test_only_a_regions_name_is_taken(response: Response, of_aws: str | None, of_others: str | None) -> None:
    """From a header, an element or the words of an error; on AWS it must look like a region of AWS's."""
    assert region_in(response, "us-east-1", is_aws=True) == of_aws
    assert region_in(response, "us-east-1", is_aws=False) == of_others


def test_every_region_of_aws_is_known_by_its_name() -> None:
    """Of every partition that botocore knows, so that buckets there are followed."""
    partitions = open_session(AwsSettings()).get_data("partitions")["partitions"]
    regions = [name for each in partitions for name in each["regions"] if not name.endswith("-global")]
    assert len(regions) > 30
    for region in regions:
        assert region_in(answer(301, x_amz_bucket_region=region), "none", is_aws=True) == region


@pytest.mark.parametrize("region", [HOSTILE, "eu-west-1.evil.example", "eu west", "", "a" * 64, "eu-west-1\n"])
def test_no_other_name_becomes_part_of_a_host(region: str) -> None:
    """Wherever a region comes from, it is a single label of the host that the next request goes to."""
    with pytest.raises(ConfigError, match="not an AWS region"):
        s3_endpoint("bucket", S3Facts(region=region))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, *range(520, 528)])
def test_faults_of_servers_and_proxies_pass(status: int) -> None:
    """They are repeated, anybody who answers."""
    response = answer(status, "<html>a gateway's page</html>")
    assert isinstance(error_of(response, "GetObject", "b", "k"), Transient)
    assert isinstance(oci_errors.error_of(response, "GetObject", "n", "b", "k", grantee="g"), Transient)
    assert isinstance(vault_errors.error_of(response, "secret", operation="GetSecret", grantee="g"), Transient)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_oci_is_said(status: int) -> None:
    """OCI does not redirect; where the answer leads is shown, and nobody goes there."""
    response = answer(status, location="http://portal.example/login\x1b[2J\n")
    for error in (
        oci_errors.error_of(response, "GetObject", "n", "b", "k", grantee="g"),
        vault_errors.error_of(response, "secret", operation="GetSecret", grantee="g"),
    ):
        assert isinstance(error, ConfigError)
        assert "leads to http://portal.example/login%1B[2J%0A" in error.message


# on the wire


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes the access key that the profile has."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    def write(key: str) -> None:
        path.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\naws_session_token = t\n")

    write("OLD")
    return write


def scope(request: Any) -> list[str]:
    """Access key, day, region, service of a signature."""
    return str(request.headers["authorization"].partition("Credential=")[2].partition(",")[0]).split("/")


def talk(
    handler: Callable[[Peer], Awaitable[None]], work: Callable[[S3Client, Server], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        async with serving(handler) as server:
            client = S3Client("b", AwsIdentity(AwsSettings(endpoint_url=server.origin, region="us-east-1")))
            try:
                await asyncio.wait_for(work(client, server), 30)
            finally:
                await client.close()

    asyncio.run(main())


def raw(status: int, body: str = "", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *headers, f"content-length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@pytest.mark.parametrize(
    ("refusal", "region"),
    [
        (raw(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>garage_1</Region></Error>"), "garage_1"),
        (
            raw(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Message>expecting 'x1'</Message></Error>"),
            "x1",
        ),
        (raw(301, "", "x-amz-bucket-region: eu-west-1"), "eu-west-1"),
    ],
)
def test_the_region_that_a_store_wants_is_signed(keys: Callable[[str], None], refusal: bytes, region: str) -> None:
    """Many requests that are refused together all succeed the second time, at the same host."""

    async def handler(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.send(raw(200, "ok") if scope(request)[2] == region else refusal)

    async def work(client: S3Client, server: Server) -> None:
        answers = await asyncio.gather(*(client.call("GetObject", "GET", f"k{n}") for n in range(20)))
        assert [bytes(found.body) for found in answers] == [b"ok"] * 20
        assert len(server.requests) <= 40

    talk(handler, work)


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (raw(301, "", f"x-amz-bucket-region: {HOSTILE}"), "names no region that could be used"),
        (
            raw(
                400,
                "<Error><Code>AuthorizationHeaderMalformed</Code><Message>we call it nowhere-1</Message></Error>",
            ),
            "AuthorizationHeaderMalformed: we call it nowhere-1; the answer names no region",
        ),
        (raw(302, "", "location: http://elsewhere.example/b"), "redirects to http://elsewhere.example/b"),
        (
            raw(307, "", "location: http://elsewhere.example/b é"),
            "redirects to http://elsewhere.example/b%20%C3%A9",
        ),
        (raw(308, "<html>moved</html>", "location: /other"), "redirects to /other"),
    ],
)
def test_a_store_that_sends_us_elsewhere_says_so_at_once(
    keys: Callable[[str], None], refusal: bytes, message: str
) -> None:
    """One request, and an error with the store's own words and where it leads; nothing is followed."""

    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(refusal)

    async def work(client: S3Client, server: Server) -> None:
        with pytest.raises(ConfigError) as caught:
            await client.call("GetObject", "GET", "k")
        assert message in caught.value.message
        assert len(server.requests) == 1

    talk(handler, work)


def test_a_store_that_moves_for_ever_is_given_up(keys: Callable[[str], None]) -> None:
    """A new region in every answer costs a handful of connections, not one for each request."""
    count = 0

    async def handler(peer: Peer) -> None:
        nonlocal count
        while True:
            await peer.request()
            count += 1
            await peer.send(raw(301, "", f"x-amz-bucket-region: region-{count}"))

    async def work(client: S3Client, server: Server) -> None:
        for _ in range(30):
            with pytest.raises(ConfigError):
                await client.call("GetObject", "GET", "k")
        assert len(client._pools) <= 8

    talk(handler, work)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_expired_token_is_renewed_once(keys: Callable[[str], None], method: str) -> None:
    """Also when the answer to HEAD, which has no body, can only say 400: asked again with fresh credentials."""
    expired = "<Error><Code>ExpiredToken</Code></Error>"

    async def handler(peer: Peer) -> None:
        while True:
            request = await peer.request()
            is_old = scope(request)[0] == "OLD"
            if is_old:
                keys("NEW")
            await peer.send(raw(400 if is_old else 200, expired if is_old and method == "GET" else ""))

    async def work(client: S3Client, server: Server) -> None:
        for n in range(5):
            assert (await client.call(f"{method.title()}Object", method, f"k{n}")).status == 200
        assert [scope(request)[0] for request in server.requests] == ["OLD", *["NEW"] * 5]

    talk(handler, work)


def test_a_400_that_fresh_credentials_do_not_cure_is_not_asked_again_for_ever(
    keys: Callable[[str], None],
) -> None:
    """HEAD of an object whose key is missing answers 400 too: the credentials are renewed once, not each time."""

    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(raw(400))

    async def work(client: S3Client, server: Server) -> None:
        for _ in range(5):
            with pytest.raises(Error, match="400"):
                await client.call("HeadObject", "HEAD", "k")
        assert len(server.requests) == 6

    talk(handler, work)


def test_a_clock_of_the_year_9999_is_not_believed(keys: Callable[[str], None]) -> None:
    """It is asked once more by this machine's time, then the refusal is shown."""

    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            body = "<Error><Code>RequestTimeTooSkewed</Code></Error>"
            await peer.send(raw(403, body, "date: Fri, 31 Dec 9999 23:59:59 GMT"))

    async def work(client: S3Client, server: Server) -> None:
        for _ in range(2):
            with pytest.raises(ConfigError, match="RequestTimeTooSkewed"):
                await client.call("GetObject", "GET", "k")
        assert not any(request.headers["x-amz-date"].startswith("9999") for request in server.requests)
        assert len(server.requests) == 4

    talk(handler, work)

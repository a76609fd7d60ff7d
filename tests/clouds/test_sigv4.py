"""Signature Version 4: the same bytes as botocore's, for anything a request can hold."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keepstep.clouds.sigv4 import EMPTY_PAYLOAD, AwsCredentials, SigV4, encode_query, quote_path
from keepstep.secret import Secret

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = "examplebucket.s3.amazonaws.com"
DOCUMENTED = AwsCredentials("AKIAIOSFODNN7EXAMPLE", Secret(SECRET))
THEN = datetime(2013, 5, 24, tzinfo=UTC)

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True).filter(
    lambda name: name.lower() not in ("host", "date", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token")
)
headers = st.lists(st.tuples(names, values), max_size=6)
queries = st.lists(st.tuples(words.filter(bool), words), max_size=5)
tokens = st.none() | st.from_regex(r"[A-Za-z0-9+/=]{1,40}", fullmatch=True)
quick = settings(deadline=None, max_examples=100, derandomize=True)


def by_botocore(
    auth: Any, method: str, url: str, fields: list[tuple[str, str]], body: bytes, token: str | None
) -> Any:
    request = AWSRequest(method=method, url=url, data=body)
    for name, value in fields:
        request.headers.add_header(name, value)
    auth(Credentials(DOCUMENTED.access_key, SECRET, token), "s3", "eu-west-1").add_auth(request)
    return request


@pytest.mark.parametrize(
    ("method", "path", "query", "extra", "body", "signature"),
    [
        (
            "GET",
            "/test.txt",
            "",
            [("Range", "bytes=0-9")],
            b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/" + quote_path("test$file.text"),
            "",
            [("Date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/",
            "lifecycle",
            [],
            b"",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/",
            encode_query([("prefix", "J"), ("max-keys", "2")]),
            [],
            b"",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_examples_of_the_s3_documentation(
    method: str, path: str, query: str, extra: list[tuple[str, str]], body: bytes, signature: str
) -> None:
    """The four examples of "Signature Calculations for the Authorization Header" come out as printed there."""
    signer = SigV4("s3", "us-east-1")
    added = dict(signer.sign(method, HOST, path, query, extra, sha256(body).hexdigest(), DOCUMENTED, THEN))
    assert added["authorization"].endswith(f"Signature={signature}")
    assert added["x-amz-date"] == "20130524T000000Z"


@quick
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]),
    key=keys,
    query=queries,
    extra=headers,
    body=st.binary(max_size=64),
    token=tokens,
)
@example("PUT", "/..//./a b+c%2F~é\u2028\x01/", [("a", "1"), ("a-b", "2"), ("a", "")], [], b"", None)
@example("PUT", "k", [], [("X-Amz-Meta-A", "  two   spaces "), ("x-amz-meta-a", "again")], b"", "tok")
def test_s3_requests_are_signed_as_botocore_signs_them(
    method: str,
    key: str,
    query: list[tuple[str, str]],
    extra: list[tuple[str, str]],
    body: bytes,
    token: str | None,
) -> None:
    """Whatever the key, query, headers and body: the signature is botocore's, and the path is signed as sent."""
    path, raw_query = "/" + quote_path(key), encode_query(query)
    url = f"https://{HOST}{path}" + (f"?{raw_query}" if raw_query else "")
    theirs = by_botocore(S3SigV4Auth, method, url, extra, body, token)
    now = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    credentials = AwsCredentials(DOCUMENTED.access_key, Secret(SECRET), Secret(token) if token else None)
    signer = SigV4("s3", "eu-west-1")
    ours = dict(signer.sign(method, HOST, path, raw_query, extra, sha256(body).hexdigest(), credentials, now))
    assert ours["authorization"] == theirs.headers["Authorization"]
    assert ours.get("x-amz-security-token") == token


@quick
@given(
    path=st.from_regex(r"(/[A-Za-z0-9%.~ _-]{0,6}){1,6}", fullmatch=True), query=queries, body=st.binary(max_size=9)
)
@example("/a/./b/../c//d/", [], b"")
@example("/..", [], b"")
def test_other_services_normalise_the_path(path: str, query: list[tuple[str, str]], body: bytes) -> None:
    """Outside S3 dots and double slashes are resolved and the raw path is encoded once more, as botocore does."""
    raw_path, raw_query = quote_path(path), encode_query(query)
    url = f"https://sts.amazonaws.com{raw_path}" + (f"?{raw_query}" if raw_query else "")
    request = AWSRequest(method="POST", url=url, data=body)
    SigV4Auth(Credentials(DOCUMENTED.access_key, SECRET), "sts", "us-east-1").add_auth(request)
    now = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    signer = SigV4("sts", "us-east-1")
    ours = dict(
        signer.sign("POST", "sts.amazonaws.com", raw_path, raw_query, [], sha256(body).hexdigest(), DOCUMENTED, now)
    )
    assert ours["authorization"] == request.headers["Authorization"]


@quick
@given(query=queries, seed=st.randoms())
def test_the_order_of_the_query_does_not_matter(query: list[tuple[str, str]], seed: Any) -> None:
    """A query in any order is signed like the sorted one that ``encode_query`` makes."""
    raw = encode_query(query).split("&")
    shuffled = list(raw)
    seed.shuffle(shuffled)
    signer = SigV4("s3", "us-east-1")
    assert signer.sign("GET", HOST, "/", "&".join(raw), [], EMPTY_PAYLOAD, DOCUMENTED, THEN) == signer.sign(
        "GET", HOST, "/", "&".join(shuffled), [], EMPTY_PAYLOAD, DOCUMENTED, THEN
    )


def test_headers_that_proxies_change_are_not_signed() -> None:
    """User-Agent, Expect, Connection and their like stay out of the signature."""
    extra = [
        ("User-Agent", "x"),
        ("Expect", "100-continue"),
        ("Connection", "keep-alive"),
        ("Transfer-Encoding", "c"),
    ]
    signer = SigV4("s3", "us-east-1")
    signed = dict(signer.sign("GET", HOST, "/", "", extra, EMPTY_PAYLOAD, DOCUMENTED, THEN))["authorization"]
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date," in signed


def test_metadata_that_is_not_text_is_signed_as_its_bytes() -> None:
    """What was stored in another encoding is written back byte for byte, and signed like that."""
    value = b"caf\xe9".decode("utf-8", "surrogateescape")
    signer = SigV4("s3", "us-east-1")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    credentials = AwsCredentials("A", Secret("S"))
    signatures = {
        dict(signer.sign("PUT", "h", "/k", "", [("x-amz-meta-a", text)], EMPTY_PAYLOAD, credentials, now))[
            "authorization"
        ]
        for text in (value, "café", "cafe")
    }
    assert len(signatures) == 3


def test_anonymous_requests_get_no_headers() -> None:
    """Without credentials nothing is added: that is what ``--no-sign-request`` means."""
    assert SigV4("s3", "us-east-1").sign("GET", HOST, "/", "", [], EMPTY_PAYLOAD, None, THEN) == []


def test_a_new_day_and_new_credentials_make_a_new_signing_key() -> None:
    """The kept signing key is never used for another day or for other credentials."""
    signer = SigV4("s3", "us-east-1")
    tomorrow, other = THEN.replace(day=25), AwsCredentials(DOCUMENTED.access_key, Secret("other"))
    wanted = [(DOCUMENTED, THEN), (DOCUMENTED, tomorrow), (other, tomorrow), (other, THEN), (DOCUMENTED, THEN)]
    kept = [signer.sign("GET", HOST, "/", "", [], EMPTY_PAYLOAD, who, when) for who, when in wanted]
    fresh = [
        SigV4("s3", "us-east-1").sign("GET", HOST, "/", "", [], EMPTY_PAYLOAD, who, when) for who, when in wanted
    ]
    assert kept == fresh
    assert len({str(added) for added in kept}) == 4

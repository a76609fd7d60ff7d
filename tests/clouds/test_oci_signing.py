"""OCI's request signatures: byte for byte those of the official SDK, also when made on worker threads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

import oci
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from oci._vendor import requests
from oci.auth.signers import SecurityTokenSigner

from keepstep.clouds.http import HttpPool
from keepstep.clouds.oci_signing import SigningKey, sign, sign_async
from keepstep.clouds.workers import Workers
from keepstep_localcloud.server import LocalCloud

HOST = "objectstorage.eu-frankfurt-1.oraclecloud.com"
NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..")
)


def by_the_sdk(method: str, target: str, body: bytes | None, key: SigningKey, content_type: str) -> dict[str, str]:
    """The headers that the SDK's signer puts on a prepared request with the same date."""
    signer: Any = SecurityTokenSigner(key.key_id.removeprefix("ST$"), key.private_key)
    headers = {"date": format_datetime(NOW, usegmt=True), "content-type": content_type}
    prepared = requests.Request(method, f"https://{HOST}{target}", headers=headers, data=body or b"").prepare()
    # requests tidies URLs, which the SDK's own client prevents in its way; the raw target is what goes out
    prepared.url = f"https://{HOST}{target}"
    signed = signer.without_content_headers(prepared) if body is None else signer(prepared)
    return {name.lower(): value for name, value in signed.headers.items()}


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    method=st.sampled_from(["GET", "HEAD", "DELETE", "PUT", "POST"]),
    name=names,
    prefix=st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    body=st.none() | st.binary(max_size=64),
    content_type=st.sampled_from(["application/json", "application/octet-stream"]),
)
def test_signatures_are_the_sdks(
    method: str, name: str, prefix: str, body: bytes | None, content_type: str, rsa_key: rsa.RSAPrivateKey
) -> None:
    """Whatever the object's name, query and body: with the same date the SDK makes the same headers."""
    if method not in ("PUT", "POST"):
        body = None
    target = f"/n/ns/b/bucket/o/{quote(name, safe='')}"
    if prefix:
        target += f"?prefix={quote(prefix, safe='')}"
    key = SigningKey("ST$a.b.c", rsa_key)
    ours = dict(sign(method, HOST, target, body, key, NOW, content_type=content_type))
    theirs = by_the_sdk(method, target, body, key, content_type)
    assert ours.items() <= theirs.items()
    assert "authorization" in ours
    assert ("x-content-sha256" in ours) == (body is not None)


def test_an_api_keys_signature_is_the_sdks(rsa_key: rsa.RSAPrivateKey, cloud: LocalCloud) -> None:
    """``oci.signer.Signer`` made from the same profile makes the same Authorization header."""
    config = oci.config.from_file(str(cloud.config))
    signer: Any = oci.signer.Signer.from_config(config)
    key = SigningKey(f"{config['tenancy']}/{config['user']}/{config['fingerprint']}", signer.private_key)
    url = f"https://{HOST}/n/"
    prepared = requests.Request("GET", url, headers={"date": format_datetime(NOW, usegmt=True)}).prepare()
    theirs = signer(prepared).headers["authorization"]
    assert dict(sign("GET", HOST, "/n/", None, key, NOW))["authorization"] == theirs


def test_worker_threads_sign_alike(rsa_key: rsa.RSAPrivateKey, run: Callable[..., Any]) -> None:
    """Sixty-four signatures at once on worker threads are those that are made one by one."""
    key = SigningKey("ST$a.b.c", rsa_key)
    bodies = [None if n % 2 else b"x" * n for n in range(64)]

    async def at_once() -> list[Any]:
        workers = Workers(4)
        try:
            return await asyncio.gather(
                *(sign_async("PUT", HOST, f"/o/{n}", b, key, NOW, workers) for n, b in enumerate(bodies))
            )
        finally:
            workers.close()

    assert run(at_once()) == [sign("PUT", HOST, f"/o/{n}", body, key, NOW) for n, body in enumerate(bodies)]


class Bucket:
    """One bucket of the local OCI, spoken to with our own client and signatures."""

    def __init__(self, cloud: LocalCloud) -> None:
        config = oci.config.from_file(str(cloud.config))
        private_key = oci.signer.load_private_key_from_file(config["key_file"])
        self.key = SigningKey(f"{config['tenancy']}/{config['user']}/{config['fingerprint']}", private_key)
        self.cloud = cloud
        self.compartment = config["tenancy"]
        self.path = f"/n/{cloud.namespace}/b"

    async def send(self, method: str, target: str, signed: bytes | None, sent: bytes = b"") -> int:
        """The status of the answer."""
        pool = HttpPool(self.cloud.endpoint)
        raw = self.path + target
        headers = sign(method, pool.netloc, raw, signed, self.key, datetime.now(UTC))
        response = await pool.request(method, raw, [("host", pool.netloc), *headers], sent or signed or b"")
        await pool.close()
        return response.status


def test_a_server_accepts_them(cloud: LocalCloud, run: Callable[..., Any]) -> None:
    """A server that verifies every signature accepts each kind of request over our own HTTP client."""
    bucket = Bucket(cloud)
    details = json.dumps({"name": "signed", "compartmentId": bucket.compartment}).encode()
    hostile = "/signed/o/" + quote("a b/é/../\u2028//", safe="")

    async def talk() -> list[int]:
        return [
            await bucket.send("POST", "/", details),
            await bucket.send("PUT", hostile, None, b"data"),
            await bucket.send("GET", hostile, None),
            await bucket.send("HEAD", hostile, None),
            await bucket.send("GET", "/signed/o?prefix=a%20b&fields=name%2Csize", None),
            await bucket.send("POST", "/signed/u", b'{"object": "big"}'),
            await bucket.send("DELETE", hostile, None),
        ]

    assert run(talk()) == [200, 200, 200, 200, 200, 200, 204]


def test_a_server_refuses_another_body(cloud: LocalCloud, run: Callable[..., Any]) -> None:
    """What is signed is what is sent: a body that was changed on its way is refused."""
    assert run(Bucket(cloud).send("POST", "/", b'{"name": "a"}', b'{"name": "b"}')) == 401


def test_a_key_does_not_show(rsa_key: rsa.RSAPrivateKey) -> None:
    """The key id of a session is its token; neither repr nor str shows it."""
    key = SigningKey("ST$token-never-to-be-seen", rsa_key, "ocid1.tenancy.oc1..t", "eu-frankfurt-1")
    assert "token-never" not in f"{key!r} {key}"
    assert "eu-frankfurt-1" in repr(key)

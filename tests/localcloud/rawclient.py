"""A client that signs requests by hand, so that a test can spoil any part of them on their way."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, urlsplit

import oci
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from keepstep_localcloud.server import LocalCloud

TARGET = ["date", "(request-target)", "host"]
BODY = [*TARGET, "content-length", "content-type", "x-content-sha256"]


@dataclass
class Draft:
    """A request that has been signed and not yet sent."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])

    def json(self) -> Any:
        return json.loads(self.body)


class RawClient:
    """Signs with the API key of a cloud's configuration, or with another key and key id."""

    def __init__(self, cloud: LocalCloud, key_id: str | None = None, key: RSAPrivateKey | None = None) -> None:
        config = oci.config.from_file(str(cloud.config))
        self.key_id = key_id or f"{config['tenancy']}/{config['user']}/{config['fingerprint']}"
        self.key: RSAPrivateKey = key or oci.signer.load_private_key_from_file(config["key_file"])
        self.address = urlsplit(cloud.endpoint).netloc

    def draft(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        signed: list[str] | None = None,
        date: float | None = None,
    ) -> Draft:
        """``signed``: the headers to cover; by default what the SDK signs for the method."""
        own = {"date": formatdate(date, usegmt=True), "host": self.address}
        if method in ("POST", "PUT"):
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            own |= {
                "content-length": str(len(body)),
                "content-type": "application/json",
                "x-content-sha256": digest,
            }
        own |= headers or {}
        names = signed or (BODY if method in ("POST", "PUT") else TARGET)
        lines = [
            f"{name}: {method.lower()} {target}" if name == "(request-target)" else f"{name}: {own[name]}"
            for name in names
        ]
        value = self.key.sign("\n".join(lines).encode(), padding.PKCS1v15(), hashes.SHA256())
        own["authorization"] = (
            f'Signature version="1",keyId="{self.key_id}",algorithm="rsa-sha256",'
            f'headers="{" ".join(names)}",signature="{base64.b64encode(value).decode()}"'
        )
        return Draft(method, target, own, body)

    def send(self, draft: Draft) -> Answer:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.putrequest(draft.method, draft.target, skip_host=True, skip_accept_encoding=True)
            for name, value in draft.headers.items():
                connection.putheader(name, value)
            connection.endheaders(draft.body)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def call(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        spoil: Callable[[Draft], object] = lambda draft: None,
        **signing: Any,
    ) -> Answer:
        """Signs, spoils, sends."""
        draft = self.draft(method, target, body, headers, **signing)
        spoil(draft)
        return self.send(draft)

    def put(self, target: str, body: bytes = b"", **headers: str) -> Answer:
        """PutObject and UploadPart as the SDK signs them: without the body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        draft = self.draft("PUT", target, body, named, signed=TARGET)
        del draft.headers["x-content-sha256"]
        return self.send(draft)


def segment(name: str) -> str:
    """An object's name as the SDKs put it into a path: nothing but unreserved characters is left as it is."""
    return quote(name, safe="").replace(".", "%2E") if set(name) == {"."} else quote(name, safe="")

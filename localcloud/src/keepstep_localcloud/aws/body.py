"""A request's body as S3 checks it: unwrapped from aws-chunked, and refused when a digest differs.

moto keeps whatever arrives; real S3 answers ``BadDigest``, ``XAmzContentSHA256Mismatch`` or ``IncompleteBody`` to
what was damaged on the way, and that is what clients rely on.
Source: "Checking object integrity in Amazon S3", "Signature calculations: transferring payload in multiple chunks".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from keepstep_localcloud.aws.http import Request, Response


class S3Error(Exception):
    """Becomes S3's XML error body. Codes: "Error responses", list of error codes."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def response(self, *, head: bool) -> Response:
        error = f"<Error><Code>{self.code}</Code><Message>{self}</Message><RequestId>LOCALCLOUD</RequestId></Error>"
        body = b"" if head else b'<?xml version="1.0" encoding="UTF-8"?>\n' + error.encode()
        return Response(self.status, body, {"content-type": "application/xml"})


def unwrapped(request: Request) -> Request:
    """The request with the object's own bytes as its body; trailers have become headers."""
    if not request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        return request
    body, trailers = _unchunked(request.body)
    if str(len(body)) != request.headers.get("x-amz-decoded-content-length", str(len(body))):
        raise S3Error(400, "IncompleteBody", "The request body terminated unexpectedly")
    headers = {**request.headers, **trailers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    headers["content-length"] = str(len(body))
    encodings = [e for e in headers.pop("content-encoding", "").split(",") if e.strip() not in ("", "aws-chunked")]
    if encodings:
        headers["content-encoding"] = ",".join(encodings)
    return replace(request, headers=headers, body=body)


def _unchunked(wrapped: bytes) -> tuple[bytes, dict[str, str]]:
    """aws-chunked: ``size[;chunk-signature=…]`` CRLF data CRLF, until size 0; then trailers ``name:value``."""
    parts: list[bytes] = []
    at = 0
    try:
        while True:
            end = wrapped.index(b"\r\n", at)
            size = int(wrapped[at:end].partition(b";")[0], 16)
            if not size:
                return b"".join(parts), _trailers(wrapped[end + 2 :])
            parts.append(wrapped[end + 2 : end + 2 + size])
            at = end + 2 + size + 2
    except ValueError as exc:
        raise S3Error(400, "IncompleteBody", "The request body terminated unexpectedly") from exc


def _trailers(lines: bytes) -> dict[str, str]:
    pairs = (line.partition(b":") for line in lines.splitlines() if line.startswith(b"x-amz-checksum-"))
    return {name.decode().lower(): value.strip().decode() for name, _, value in pairs}


def checked(request: Request) -> Request:
    """The request, its digests right, with the algorithm named as moto wants it. Raises :class:`S3Error` 400."""
    headers, body = request.headers, request.body
    if (md5 := headers.get("content-md5")) and _digest(hashlib.md5, body) != md5:
        raise S3Error(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
    signed = headers.get("x-amz-content-sha256", "")
    if len(signed) == 64 and hashlib.sha256(body).hexdigest() != signed:
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise S3Error(400, "XAmzContentSHA256Mismatch", message)
    for name, digest in _CHECKSUMS.items():
        if sent := headers.get(f"x-amz-checksum-{name}"):
            if digest and digest(body) != sent:
                message = f"The {name.upper()} you specified did not match the calculated checksum."
                raise S3Error(400, "BadDigest", message)
            return replace(request, headers={**headers, "x-amz-sdk-checksum-algorithm": name.upper()})
    return request


def _digest(algorithm: Callable[..., hashlib._Hash], body: bytes) -> str:
    return base64.b64encode(algorithm(body, usedforsecurity=False).digest()).decode()


def _crc32(body: bytes) -> str:
    return base64.b64encode(binascii.crc32(body).to_bytes(4, "big")).decode()


def _optional(module: str, function: str, size: int) -> Callable[[bytes], str] | None:
    """A checksum that the standard library lacks; None, and so unchecked, where nothing here computes it."""
    import importlib

    try:
        compute = getattr(importlib.import_module(module), function)
    except ImportError:
        return None
    return lambda body: base64.b64encode(compute(body).to_bytes(size, "big")).decode()


_CHECKSUMS: Mapping[str, Callable[[bytes], str] | None] = {
    "crc32": _crc32,
    "crc32c": _optional("crc32c", "crc32c", 4),
    "crc64nvme": _optional("awscrt.checksums", "crc64nvme", 8),
    "sha1": lambda body: _digest(hashlib.sha1, body),
    "sha256": lambda body: _digest(hashlib.sha256, body),
}
"""By the end of the header's name."""

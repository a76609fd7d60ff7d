"""``if-match`` and ``if-none-match``, and the customer's encryption key: what a request must get right to go on."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping

from keepstep_localcloud.objectstorage.problems import if_match_failed, if_none_match_failed, invalid


def check_read(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the client has this state already (304). Raises 412 ``IfMatchFailed``."""
    wanted = headers.get("if-match")
    if wanted is not None and not _matches(wanted, etag):
        raise if_match_failed(wanted)
    known = headers.get("if-none-match")
    return known is not None and _matches(known, etag)


def check_change(headers: Mapping[str, str], etag: str | None, name: str) -> None:
    """Raises 412 unless the thing is in the state that the client expects; ``etag`` is None when there is none."""
    wanted, unwanted = headers.get("if-match"), headers.get("if-none-match")
    if wanted is not None and (etag is None or not _matches(wanted, etag)):
        raise if_match_failed(wanted)
    if unwanted is not None and unwanted != "*":
        raise invalid("The only If-None-Match header value for a write is '*'", "IfNoneMatchDisallowed")
    if unwanted is not None and etag is not None:
        raise if_none_match_failed(name)


def _matches(given: str, etag: str) -> bool:
    return given == "*" or etag in (part.strip().strip('"') for part in given.split(","))


SSE = "opc-sse-customer"


def customer_key(headers: Mapping[str, str], prefix: str = SSE) -> str | None:
    """SHA-256 of the key that came with the request, in base64; None when none came.

    Raises 400 ``InvalidParameter`` when the three headers do not belong together. Source: "Using Your Own Keys for
    Server-Side Encryption" (256 bits, AES256).
    """
    given = [headers.get(f"{prefix}-{name}") for name in ("algorithm", "key", "key-sha256")]
    algorithm, key, digest = given
    if given == [None, None, None]:
        return None
    if algorithm != "AES256" or key is None or digest is None:
        raise invalid(f"{prefix}-algorithm (AES256), {prefix}-key and {prefix}-key-sha256 go together")
    if len(raw := _decoded(key)) != 32 or base64.b64encode(hashlib.sha256(raw).digest()).decode() != digest:
        raise invalid(f"{prefix}-key is not 256 bits, or {prefix}-key-sha256 is not its hash")
    return digest


def check_customer_key(headers: Mapping[str, str], wanted: str | None, prefix: str = SSE) -> None:
    """Raises 400 unless the request brings the key that the object was written with."""
    if customer_key(headers, prefix) != wanted:
        raise invalid("The object is encrypted with a key of the customer's, and this is not it", "InvalidSSEKey")


def _decoded(key: str) -> bytes:
    try:
        return base64.b64decode(key, validate=True)
    except binascii.Error:
        return b""

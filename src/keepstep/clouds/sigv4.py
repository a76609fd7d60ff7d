"""AWS Signature Version 4 in request headers, for the data plane: a signature costs microseconds.

Source: "Create a signed AWS API request" and "Authenticating Requests: Using the Authorization Header" in the
AWS documentation; botocore's ``S3SigV4Auth`` and ``SigV4Auth`` are the authority the tests compare with.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote

from keepstep.secret import Secret

HeaderPair = tuple[str, str]

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_PAYLOAD = sha256(b"").hexdigest()

_UNSIGNED_HEADERS = frozenset(
    [
        "accept-encoding",
        "authorization",
        "baggage",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    ]
)
"""Left out of the signature because proxies may change them (botocore's list)."""


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """An access key, permanent or of a session. Prints without its secrets."""

    access_key: str
    secret_key: Secret
    token: Secret | None = None
    """The session token, for temporary credentials."""
    expires_at: datetime | None = None
    """UTC; ``None`` when they do not expire, or nobody said when."""
    method: str = "explicit"
    """botocore's word for where they were found: ``env``, ``assume-role``, ``iam-role``, ``sso`` ..."""


class _DayKey(NamedTuple):
    """What stays the same for one day and one set of credentials."""

    credentials: AwsCredentials
    day: str
    sign: Callable[[bytes], str]
    """HMAC-SHA256 with the day's key, in hex."""
    scope: str
    token: str


class SigV4:
    """Signs requests to one service in one region. Holds no state but the signing key of the day."""

    def __init__(self, service: str, region: str) -> None:
        self.service = service
        self.region = region
        self._is_s3 = service in ("s3", "s3-outposts", "s3-object-lambda", "s3express")
        self._day_key: _DayKey | None = None

    def sign(
        self,
        method: str,
        host: str,
        path: str,
        query: str,
        headers: Iterable[HeaderPair],
        payload_hash: str,
        credentials: AwsCredentials | None,
        now: datetime,
    ) -> list[HeaderPair]:
        """The headers to add, names in lower case; none when ``credentials`` is None (an anonymous request).

        ``path`` and ``query`` are raw, exactly as they will be sent: :func:`quote_path` and :func:`encode_query`
        make them. ``host`` is the value of the host header (the port included unless it is the scheme's own).
        ``payload_hash`` is the SHA-256 of the body in lower-case hex, or ``UNSIGNED-PAYLOAD``. ``now`` is UTC.
        """
        if credentials is None:
            return []
        day = f"{now.year:04}{now.month:02}{now.day:02}"
        stamp = f"{day}T{now.hour:02}{now.minute:02}{now.second:02}Z"
        day_key = self._key_of(day, credentials)
        added = {"x-amz-date": stamp}
        if self._is_s3:
            added["x-amz-content-sha256"] = payload_hash
        if day_key.token:
            added["x-amz-security-token"] = day_key.token
        signed, lines = _canonical_headers(headers, {"host": host, **added})
        canonical = (
            f"{method}\n{self._path(path)}\n{_sorted_query(query)}\n{lines}\n{signed}\n{payload_hash}".encode(
                "utf-8",
                "surrogateescape",  # metadata is bytes
            )
        )
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{day_key.scope}\n{sha256(canonical).hexdigest()}"
        signature = day_key.sign(text.encode())
        added["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{day_key.scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )
        return list(added.items())

    def _key_of(self, day: str, credentials: AwsCredentials) -> _DayKey:
        kept = self._day_key
        if kept is None or kept.credentials is not credentials or kept.day != day:
            key = b"AWS4" + credentials.secret_key.reveal_bytes()
            for step in (day, self.region, self.service, "aws4_request"):
                key = hmac.digest(key, step.encode(), "sha256")
            scope = f"{day}/{self.region}/{self.service}/aws4_request"
            token = credentials.token.reveal() if credentials.token else ""
            kept = self._day_key = _DayKey(credentials, day, _signer(key), scope, token)
        return kept

    def _path(self, path: str) -> str:
        """S3 signs the path as it is sent; every other service normalises it and encodes it once more."""
        return (path or "/") if self._is_s3 else quote(_without_dot_segments(path), safe="/~")


def _signer(key: bytes) -> Callable[[bytes], str]:
    """HMAC-SHA256 (RFC 2104) whose two padded keys are hashed once: half the time of ``hmac.digest``.

    It also keeps the interpreter's lock, which ``hmac.digest`` gives away, and waits for, at every call.
    """
    block = key.ljust(64, b"\0")
    inner = sha256(bytes(byte ^ 0x36 for byte in block))
    outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def sign(message: bytes) -> str:
        first, second = inner.copy(), outer.copy()
        first.update(message)
        second.update(first.digest())
        return second.hexdigest()

    return sign


def quote_path(key: str) -> str:
    """An object's key as part of a raw path: each byte of its UTF-8 form but the unreserved and ``/`` encoded."""
    return quote(key, safe="/~")


def encode_query(parameters: Iterable[tuple[str, str]]) -> str:
    """Parameters as a raw query, sorted as the signature wants them; ``("uploads", "")`` gives ``uploads=``."""
    encoded = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in parameters)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _canonical_headers(headers: Iterable[HeaderPair], values: dict[str, str]) -> tuple[str, str]:
    """The signed names joined by ``;``, and the canonical lines, each ended by a line feed.

    ``values`` are signed next to the headers, as they are.
    """
    for name, value in headers:
        lower = name.lower()
        if lower not in _UNSIGNED_HEADERS and lower != "host":
            trimmed = " ".join(value.split())
            values[lower] = f"{values[lower]},{trimmed}" if lower in values else trimmed
    names = sorted(values)
    return ";".join(names), "".join([f"{name}:{values[name]}\n" for name in names])


def _sorted_query(query: str) -> str:
    if not query or ("&" not in query and "=" in query):
        return query
    pairs = [pair.partition("=") for pair in query.split("&")]
    return "&".join(f"{name}={value}" for name, _, value in sorted(pairs, key=lambda p: (p[0], p[2])))


def _without_dot_segments(path: str) -> str:
    """RFC 3986 section 5.2.4, and empty segments removed, as the signature's "normalized" path has it."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    joined = "/" + "/".join(kept)
    return joined + "/" if kept and path.endswith("/") else joined

"""What the services of the local OCI are written in: a request, a response, an error and a route.

A service is a list of :class:`Route`; the application checks the signature, injects faults, adds
``opc-request-id`` and turns :class:`ServiceError` into OCI's error body, so a service knows none of that.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class Principal:
    """Who signed the request."""

    tenancy: str
    """OCID of the signer's tenancy."""
    subject: str
    """OCID of the user, instance or resource."""
    kind: str
    """``api_key``, ``instance``, ``resource``, ``resource_key`` (a resource with a key of its own), ``workload`` or
    ``session``; ``nobody`` where nothing is signed."""


@dataclass
class Request:
    """One request as it arrived; the body has been read whole, unless the route streams."""

    method: str
    path: str
    """The raw path without version and query, percent-encoded as the client sent it."""
    query: Mapping[str, str]
    """Decoded; the last value wins."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    principal: Principal
    target: str = ""
    """Path and query as they were signed."""
    stale: bool = False
    """A fault wants the state from before the last write."""
    chunks: AsyncIterator[bytes] | None = None
    """The body of a route that streams. Reading it raises when the body is not the one that was signed."""

    def json(self) -> Any:
        """The body as JSON. Raises 400 ``CannotParseRequest``."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError as exc:
            raise ServiceError(400, "CannotParseRequest", "the body is not JSON") from exc

    def document(self) -> dict[str, Any]:
        """The body as a JSON object. Raises 400 ``CannotParseRequest``."""
        document = self.json()
        if not isinstance(document, dict):
            raise ServiceError(400, "CannotParseRequest", "the body is not a JSON object")
        return document


@dataclass
class Response:
    """What a service answers."""

    status: int = 200
    body: Any = b""
    """Bytes, an iterator of bytes (then ``headers`` has its ``content-length``), or anything JSON can hold."""
    headers: dict[str, str] = field(default_factory=dict)

    def payload(self) -> bytes | Iterator[bytes]:
        """The body as it goes out; what is neither bytes nor an iterator becomes JSON."""
        if isinstance(self.body, bytes | Iterator):
            return self.body
        self.headers.setdefault("content-type", "application/json")
        return json.dumps(self.body).encode()


class ServiceError(Exception):
    """Becomes ``{"code": ..., "message": ...}`` with the status (OCI's "API errors" page lists the codes)."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


Handler = Callable[..., Awaitable[Response]]


class Route:
    """A method, a path template such as ``/n/{namespace}/b/{bucket}/o/{object:rest}``, and who answers.

    ``{name}`` is one segment, ``{name:rest}`` everything that follows; both are percent-decoded after matching,
    so an encoded ``/`` never splits a name. The operation's name is the OCI SDK's (``ListObjects``); faults are
    addressed by it. The handler is called as ``handler(request, **path_parameters)``.

    ``streams``: the body is not read beforehand, and its hash need not be signed (PutObject, UploadPart).
    ``is_open``: nobody signs (the metadata service), or the handler checks the signature itself (federation).
    """

    def __init__(
        self,
        operation: str,
        method: str,
        template: str,
        handler: Handler,
        *,
        streams: bool = False,
        is_open: bool = False,
    ) -> None:
        self.operation = operation
        self.method = method
        self.handler = handler
        self.streams = streams
        self.is_open = is_open
        self.root = template.split("/", 2)[1]
        parts = re.split(r"\{(\w+)(:rest)?\}", template)
        pattern = re.escape(parts[0])
        for name, rest, literal in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            pattern += f"(?P<{name}>{'.+' if rest else '[^/]+'})" + re.escape(literal)
        self._pattern = re.compile(pattern + r"\Z", re.DOTALL)

    def match(self, path: str) -> dict[str, str] | None:
        """The decoded path parameters, or None when this route does not answer ``path`` (raw).

        Raises 400 ``InvalidParameter`` when a parameter is not UTF-8.
        """
        found = self._pattern.match(path)
        try:
            return {k: unquote(v, errors="strict") for k, v in found.groupdict().items()} if found else None
        except UnicodeDecodeError as exc:
            raise ServiceError(400, "InvalidParameter", "the path is not UTF-8") from exc

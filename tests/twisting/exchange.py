"""One request and its answer, whole, as the modes see them; and the table of modes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode


@dataclass(frozen=True)
class Request:
    """As the client sent it, its body decoded of any chunking."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    memory: SimpleNamespace
    """What a mode wants to remember from one request of this proxy to the next."""
    seen: int = 1
    """How often this proxy has seen a request of this operation, this one included."""
    again: int = 1
    """How often it has seen this very method and target, this one included."""

    @property
    def path(self) -> str:
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def operation(self) -> str:
        """By S3's names; ``oci:ListObjects`` and the like where the path is one of OCI's Object Storage."""
        if self.path.startswith("/n/"):
            return _oci_operation(self)
        from keepstep_localcloud.aws.operations import s3_operation

        asked: Any = self
        return s3_operation(asked)

    def asking(self, **query: str | None) -> Request:
        """The same with these words of the query changed, or left out when None (``_`` stands for ``-``)."""
        wanted = self.query | {name.replace("_", "-"): value for name, value in query.items()}
        raw = urlencode({name: value for name, value in wanted.items() if value is not None}, quote_via=quote)
        return replace(self, target=self.target.partition("?")[0] + (f"?{raw}" if raw else ""))

    def without(self, *names: str) -> Request:
        """The same with these headers left out."""
        return replace(self, headers={name: value for name, value in self.headers.items() if name not in names})


@dataclass(frozen=True)
class Answer:
    """As it is sent to the client."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case. The length of the body is added, unless it is reported here."""
    body: bytes = b""
    wire: AsyncIterator[bytes] | None = None
    """If there is one, these bytes go out instead of everything above, and then the connection ends."""

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "surrogateescape")

    def saying(self, text: str | bytes, status: int | None = None) -> Answer:
        """The same with another body."""
        body = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        return replace(self, body=body, status=self.status if status is None else status)

    def headed(self, **headers: str | None) -> Answer:
        """The same with these headers changed, or left out when None (``_`` stands for ``-``)."""
        wanted = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={name: value for name, value in wanted.items() if value is not None})


class Hangup(Exception):
    """The connection ends without an answer."""


Send = Callable[[Request], Awaitable[Answer]]
"""Asks the server, or the next mode."""
Mode = Callable[[Request, Send], Awaitable[Answer]]

MODES: dict[str, Mode] = {}


def mode(*operations: str, name: str = "") -> Callable[[Mode], Mode]:
    """Puts a function into :data:`MODES` under its name with ``-``; other operations than these pass unchanged."""

    def register(work: Mode) -> Mode:
        async def choosing(request: Request, send: Send) -> Answer:
            if operations and request.operation not in operations:
                return await send(request)
            return await work(request, send)

        choosing.__doc__ = work.__doc__
        MODES[name or work.__name__.strip("_").replace("_", "-")] = choosing
        return work

    return register


def error(status: int, code: str, message: str = "", **headers: str) -> Answer:
    """A refusal as S3 writes it."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>0</RequestId></Error>"
    )
    return Answer(status, {"content-type": "application/xml"}, body.encode()).headed(**headers)


def _oci_operation(request: Request) -> str:
    """The paths of https://docs.oracle.com/iaas/api/#/en/objectstorage/ beneath ``/n/{namespace}/b/{bucket}``."""
    kind = request.path.split("/", 6)[5:6]
    names = {
        ("GET", "o"): "GetObject" if request.path.split("/", 6)[6:] else "ListObjects",
        ("PUT", "o"): "PutObject",
        ("HEAD", "o"): "HeadObject",
        ("DELETE", "o"): "DeleteObject",
        ("PUT", "u"): "UploadPart",
        ("POST", "u"): "CommitMultipartUpload" if "uploadId" in request.query else "CreateMultipartUpload",
        ("GET", "u"): "ListMultipartUploadParts",
        ("DELETE", "u"): "AbortMultipartUpload",
        ("POST", "actions"): (request.path.rsplit("/", 1)[-1][:1].upper() + request.path.rsplit("/", 1)[-1][1:]),
    }
    return "oci:" + names.get((request.method, kind[0] if kind else ""), "Unknown")

"""A small S3 and a small OCI on loopback, which list in whatever way a case wants them to.

They speak enough of both APIs for a sync of small objects; signatures are not looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from base64 import b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

from tests.model.rules import Thing
from tests.stores.shelves import Order, utf8

Headers = dict[str, str]


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Headers = field(default_factory=dict)


@dataclass
class Bucket:
    """Objects by their whole names, and how they are listed."""

    things: dict[str, Thing] = field(default_factory=dict)
    unrepresentable_names: list[str] = field(default_factory=list)
    """Names that are no text, as they stand in an answer."""
    order: Order = utf8
    page_size: int = 1000
    starts: str = "honoured"
    has_empty_pages: bool = False
    breaks_after: int | None = None
    """Pages that are listed before every other one is refused."""
    dress: Callable[[str], str] = lambda text: text
    """What becomes of a document of S3."""
    takes_extras: bool = True
    """Whether optional headers are accepted."""
    encodes: bool = True
    """Whether keys are URL-encoded when that is asked for."""
    repeats: bool = False
    """Whether every page is followed by itself."""
    garbles: int = 0
    """So many answers to listings are a proxy's page."""
    listed: int = 0

    def page(
        self, prefix: str, after: str | None, token: str | None, most: int
    ) -> tuple[list[str], str | None] | None:
        """Names, and the next token; None where the listing is broken."""
        self.listed += not _is_trial(prefix)
        if self.breaks_after is not None and self.listed > self.breaks_after and not _is_trial(prefix):
            return None
        names = sorted((name for name in self.things if name.startswith(prefix)), key=self.order)
        if token is not None and token.startswith("empty-"):
            return [], token.removeprefix("empty-")
        place = self._place(names, after) if token is None else self._after(names, bytes.fromhex(token).decode())
        until = place + min(self.page_size, most)
        more = (
            ("empty-" if self.has_empty_pages else "") + names[min(until, len(names)) - 1].encode().hex()
            if names
            else ""
        )
        if self.repeats and names:
            return names[place:until], token or names[0].encode().hex()
        return names[place:until], more if until < len(names) else None

    def _place(self, names: list[str], after: str | None) -> int:
        if after is None or self.starts == "ignored":
            return 0
        if self.starts == "inclusive":
            return bisect_left([self.order(name) for name in names], self.order(after))
        return self._after(names, after)

    def _after(self, names: list[str], name: str) -> int:
        return bisect_right([self.order(each) for each in names], self.order(name))


class Clouds:
    """The buckets of one case, by name."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}

    async def start(self) -> str:
        """Returns the address."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *rest = head.decode("latin-1").split("\r\n")
                method, target, _ = line.split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                answer = self._answer(method, target, headers, body)
                lines = [f"HTTP/1.1 {answer.status} X", f"content-length: {len(answer.body)}"]
                lines += [f"{name}: {value}" for name, value in answer.headers.items()]
                writer.write("\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else answer.body))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    def _answer(self, method: str, target: str, headers: Headers, body: bytes) -> Answer:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        oci = re.match(r"/n/[^/]+/b/([^/]+)/(o|actions/batchDeleteObjects)(?:/(.*))?\Z", parts.path, re.DOTALL)
        if oci:
            bucket, name = self.buckets[oci[1]], oci[3]
            return _oci(bucket, method, oci[2], None if name is None else unquote(name), query, body)
        bucket_name, _, key = parts.path.lstrip("/").partition("/")
        return self._s3(self.buckets[bucket_name], method, unquote(key), query, headers, body)

    def _s3(
        self, bucket: Bucket, method: str, key: str, query: dict[str, str], headers: Headers, body: bytes
    ) -> Answer:
        if not key and method == "GET":
            return _list_s3(bucket, query, headers)
        if not key and method == "POST":
            for name in re.findall(r"<Key>(.*?)</Key>", body.decode(), re.DOTALL):
                bucket.things.pop(unescape(name), None)
            return Answer(body=b"<DeleteResult/>")
        if method == "DELETE":
            bucket.things.pop(key, None)
            return Answer(204)
        if method == "PUT" and "x-amz-copy-source" in headers:
            origin, _, name = unquote(headers["x-amz-copy-source"]).lstrip("/").partition("/")
            _put(bucket, key, self.buckets[origin].things[name].data)
            tag = _etag(bucket.things[key].data)
            return Answer(body=f"<CopyObjectResult><ETag>&quot;{tag}&quot;</ETag></CopyObjectResult>".encode())
        if method == "PUT":
            assert key, "a bucket was to be made"
            _put(bucket, key, body)
            return Answer(headers={"etag": f'"{_etag(body)}"'})
        return _get(bucket, key)


def _put(bucket: Bucket, name: str, data: bytes) -> None:
    bucket.things[name] = Thing(data, 2 * 10**15)


def _etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _get(bucket: Bucket, name: str) -> Answer:
    if name not in bucket.things:
        return Answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
    data = bucket.things[name].data
    return Answer(body=data, headers={"etag": f'"{_etag(data)}"'})


def _is_trial(prefix: str) -> bool:
    """keepstep looks how a name is kept that may mean something to a file system: not the listing of the case."""
    return ".keepstep-" in prefix


def _garbled(bucket: Bucket, prefix: str) -> bool:
    bucket.garbles -= not _is_trial(prefix)
    return bucket.garbles >= 0 and not _is_trial(prefix)


def _list_s3(bucket: Bucket, query: dict[str, str], headers: Headers) -> Answer:
    if _garbled(bucket, query["prefix"]):
        return Answer(body=b"<html><body>Please log in</body></html>")
    if not bucket.takes_extras and "x-amz-optional-object-attributes" in headers:
        return Answer(501, b"<Error><Code>NotImplemented</Code></Error>")
    token = query.get("continuation-token")
    found = bucket.page(query["prefix"], query.get("start-after"), token, int(query["max-keys"]))
    if found is None:
        return Answer(403, b"<Error><Code>AccessDenied</Code></Error>")
    names, following = found
    is_encoded = bucket.encodes and query.get("encoding-type") == "url"
    written = [quote(name, safe="/") if is_encoded else _as_text(name) for name in names]
    rows = [_row(key, bucket.things[name]) for key, name in zip(written, names, strict=True)]
    if token is None and is_encoded:
        rows += [_row(quote(query["prefix"]) + stray, Thing(b"x", 0)) for stray in bucket.unrepresentable_names]
    more = f"<NextContinuationToken>{following}</NextContinuationToken>" if following else ""
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>b</Name>{'<EncodingType>url</EncodingType>' if is_encoded else ''}{more}"
        f"<IsTruncated>{'true' if following else 'false'}</IsTruncated>{''.join(rows)}</ListBucketResult>"
    )
    return Answer(body=bucket.dress(document).encode())


def _as_text(name: str) -> str:
    return re.sub("[\x00-\x1f]", lambda found: f"&#{ord(found[0])};", escape(name))


def _row(key: str, thing: Thing) -> str:
    time = datetime.fromtimestamp(thing.time / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>&quot;{_etag(thing.data)}&quot;</ETag>"
        f"<Size>{len(thing.data)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _oci(bucket: Bucket, method: str, kind: str, name: str | None, query: dict[str, str], body: bytes) -> Answer:
    if kind != "o":
        gone = [item["objectName"] for item in json.loads(body)["objects"]]
        for each in gone:
            bucket.things.pop(each, None)
        return Answer(body=json.dumps({"deleted": [{"objectName": each} for each in gone], "failed": []}).encode())
    if name is None:
        return _list_oci(bucket, query)
    if method == "DELETE":
        bucket.things.pop(name, None)
        return Answer(204)
    if method == "PUT":
        assert name, "an object without a name"
        _put(bucket, name, body)
        md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        return Answer(headers={"etag": "e", "opc-content-md5": md5})
    return _get(bucket, name)


def _list_oci(bucket: Bucket, query: dict[str, str]) -> Answer:
    if _garbled(bucket, query.get("prefix", "")):
        return Answer(body=b"<html><body>Please log in</body></html>")
    prefix, start = query.get("prefix", ""), query.get("start")
    token = None if start is None else start.removeprefix("token-")
    found = bucket.page(prefix, query.get("startAfter"), token, int(query["limit"]))
    if found is None:
        return Answer(404, b'{"code": "BucketNotFound", "message": "no"}')
    names, following = found
    if "delimiter" in query:
        return Answer(body=b'{"objects": [], "prefixes": []}')
    rows = [_oci_row(name, bucket.things[name]) for name in names]
    if token is None:
        rows += [_oci_row(prefix + stray, Thing(b"x", 0)) for stray in bucket.unrepresentable_names]
    page = {"objects": rows, "nextStartWith": f"token-{following}" if following else None}
    return Answer(body=json.dumps(page).encode())


def _oci_row(name: str, thing: Thing) -> dict[str, object]:
    time = datetime.fromtimestamp(thing.time / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {"name": name, "size": len(thing.data), "etag": _etag(thing.data), "timeModified": time}


def padded(text: str) -> str:
    """A document with line breaks between its elements."""
    return re.sub("><", ">\n <", text)


def prefixed(text: str) -> str:
    """Elements with a namespace prefix."""
    return re.sub(r"<(/?)(?!\?)([A-Z])", r"<\1s3:\2", text).replace("xmlns=", "xmlns:s3=")


def haunted(text: str) -> str:
    """A comment and a processing instruction that look like objects."""
    ghost = "<Contents><Key>ghost</Key></Contents>"
    return text.replace("<Name>", f"<!-- {ghost} --><?pi {ghost}?><Name>", 1)


DRESSES = (lambda text: text, padded, prefixed, haunted)

"""An S3 that lists any number of synthetic keys after a delay, and forgets what is put into it.

Speaks enough for keepstep, rclone, s5cmd and the aws CLI: ListObjectsV2 and V1 with prefix, delimiter, start-after,
marker, continuation-token and max-keys, HEAD and location of a bucket. Signatures are not looked at.
``python -m bench.fake_s3 LAYOUT COUNT LATENCY_MS`` prints its port.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from typing import ClassVar, cast
from urllib.parse import parse_qs, unquote, urlsplit

import httptools
import uvloop

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
_TIMES = {"a": "2026-01-01T00:00:00.000Z", "b": "2026-01-02T00:00:00.000Z"}
"""Bucket ``b`` is newer, so that a sync from ``a`` to ``b`` has nothing to do."""


def keys_of(layout: str, count: int) -> list[str]:
    """``flat``, ``folders`` (100 of them), ``dates`` (year/month/day) or ``random`` (hexadecimal), sorted.

    ``scattered`` is flat, and in no order.
    """
    match layout:
        case "flat":
            return [f"data-{number:08}.bin" for number in range(count)]
        case "folders":
            each = count // 100
            return [f"folder-{n:03}/file-{m:06}.bin" for n in range(100) for m in range(each)]
        case "dates":
            days = [f"{2020 + n // 360}/{n // 30 % 12 + 1:02}/{n % 30 + 1:02}" for n in range(1800)]
            each = count // len(days)
            return sorted(f"{day}/part-{m:05}.csv.gz" for day in days for m in range(each))
        case "random":
            return sorted(hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest() for n in range(count))
        case "scattered":
            return [f"data-{number * 7_919_993 % count:08}.bin" for number in range(count)]
        case _:
            raise SystemExit(f"no layout {layout}")


class Bucket:
    """Its keys, and each one's piece of a listing, made once."""

    def __init__(self, name: str, keys: list[str]) -> None:
        self.keys = keys
        rest = (
            f"</Key><LastModified>{_TIMES.get(name, _TIMES['a'])}</LastModified>"
            "<ETag>&quot;9b2cf535f27731c974343645a3985328&quot;</ETag><Size>4096</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )
        self.items = [f"<Contents><Key>{key}{rest}".encode() for key in keys]

    def page(self, query: dict[str, str]) -> bytes:
        """One page, as AWS writes it."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("start-after", query.get("marker", ""))
        if token := query.get("continuation-token"):
            after = base64.urlsafe_b64decode(token).decode()
        most = min(1000, int(query.get("max-keys", "1000")))
        start = max(bisect_left(self.keys, prefix), bisect_right(self.keys, after) if after else 0)
        end = bisect_left(self.keys, prefix + "\U0010ffff") if prefix else len(self.keys)
        if delimiter:
            return self._grouped(start, end, prefix, delimiter, most, after, query)
        stop = min(start + most, end)
        more = stop < end
        return self._document(self.items[start:stop], [], self.keys[stop - 1] if more else "", query)

    def _grouped(
        self, start: int, end: int, prefix: str, delimiter: str, most: int, after: str, query: dict[str, str]
    ) -> bytes:
        items: list[bytes] = []
        groups: list[str] = []
        last = ""
        while start < end and len(items) + len(groups) < most:
            key = self.keys[start]
            cut = key.find(delimiter, len(prefix))
            if cut < 0:
                items.append(self.items[start])
                last, start = key, start + 1
                continue
            group = key[: cut + len(delimiter)]
            start = bisect_left(self.keys, group + "\U0010ffff", start)
            if group <= after:
                continue
            groups.append(group)
            last = group + "\U0010ffff"
        return self._document(items, groups, last if start < end else "", query)

    @staticmethod
    def _document(items: list[bytes], groups: list[str], last: str, query: dict[str, str]) -> bytes:
        more = "true" if last else "false"
        token = base64.urlsafe_b64encode(last.encode()).decode()
        following = (
            f"<NextContinuationToken>{token}</NextContinuationToken><NextMarker>{last}</NextMarker>" if last else ""
        )
        encoding = "<EncodingType>url</EncodingType>" if query.get("encoding-type") else ""
        head = (
            f"{_HEAD}<Name>x</Name><Prefix>{query.get('prefix', '')}</Prefix><MaxKeys>1000</MaxKeys>{encoding}"
            f"<KeyCount>{len(items) + len(groups)}</KeyCount><IsTruncated>{more}</IsTruncated>{following}"
        )
        tail = "".join(f"<CommonPrefixes><Prefix>{group}</Prefix></CommonPrefixes>" for group in groups)
        return b"".join([head.encode(), *items, tail.encode(), b"</ListBucketResult>"])


class Scattered(Bucket):
    """Lists its keys in an order of its own; only tokens lead on."""

    def page(self, query: dict[str, str]) -> bytes:
        start = int(base64.urlsafe_b64decode(query.get("continuation-token", "")) or 0)
        stop = start + min(1000, int(query.get("max-keys", "1000")))
        return self._document(self.items[start:stop], [], str(stop) if stop < len(self.keys) else "", query)


class Server(asyncio.Protocol):
    """One connection."""

    buckets: dict[str, Bucket]
    latency: float
    counts: ClassVar[Counter[str]] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url.decode()

    def on_message_complete(self) -> None:
        parts = urlsplit(self._url)
        query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        if bucket == "_counts":
            self._answer(200, repr(dict(self.counts)).encode())
            self.counts.clear()
            return
        method = self._parser.get_method().decode()
        if "location" in query:
            body = b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>'
        elif method == "HEAD" and not key:
            body = b""
        elif method == "GET" and not key and bucket in self.buckets:
            self.counts["list"] += 1
            self._later(bucket, query)
            return
        elif method == "GET" and not key:
            self._answer(200, Bucket("empty", []).page(query))
            return
        elif method == "PUT":
            self.counts["put"] += 1
            body = b""
        else:
            self.counts["other"] += 1
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        self._answer(200, body)

    def _later(self, bucket: str, query: dict[str, str]) -> None:
        loop = asyncio.get_running_loop()
        if self.latency:
            loop.call_later(self.latency, lambda: self._answer(200, self.buckets[bucket].page(query)))
        else:
            self._answer(200, self.buckets[bucket].page(query))

    def _answer(self, status: int, body: bytes) -> None:
        head = (
            f"HTTP/1.1 {status} X\r\ncontent-type: application/xml\r\ncontent-length: {len(body)}\r\n"
            "x-amz-bucket-region: us-east-1\r\n\r\n"
        )
        self._transport.writelines([head.encode(), b"" if self._parser.get_method() == b"HEAD" else body])


async def serve(layout: str, count: int, latency_ms: float) -> None:
    keys = keys_of(layout, count)
    kind = Scattered if layout == "scattered" else Bucket
    Server.buckets = {"a": kind("a", keys), "b": kind("b", keys)}
    Server.latency = latency_ms / 1000
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))

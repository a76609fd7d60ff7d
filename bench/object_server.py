"""An S3 that serves objects of one size over TLS as fast as it can, and forgets what is put into it.

``python -m bench.object_server COUNT SIZE FOLDER`` prints its port; key and certificate are in the folder. It
checks CRCs that come with bodies and tells the one of its objects, as S3 does. Signatures are not looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import ssl
import sys
import zlib
from base64 import b64decode, b64encode
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop
from awscrt import checksums

from bench.fixed_server import certificate

_CRCS = {"crc32": (zlib.crc32, 4), "crc32c": (checksums.crc32c, 4), "crc64nvme": (checksums.crc64nvme, 8)}
_PIECE = 256 * 1024


def keys(count: int) -> list[str]:
    return [f"{number:05}.bin" for number in range(count)]


class Objects(asyncio.Protocol):
    """One connection. The bucket ``a`` has the objects, every other one is empty."""

    data: bytes
    head: str
    """The headers of every object."""
    listing: bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        self._url = url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()
        if name.lower() == b"expect":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method, url = self._parser.get_method().decode(), urlsplit(self._url)
        bucket, _, key = url.path.lstrip("/").partition("/")
        if not key:
            self._answer(200, self.listing if bucket == "a" else _listing([], 0, ""))
        elif method in ("GET", "HEAD") and bucket == "a":
            self._object(method)
        elif method == "PUT":
            self._take()
        elif method == "POST":
            self._answer(
                200, b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            )
        elif method == "DELETE":
            self._answer(204, b"")
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def _object(self, method: str) -> None:
        found = re.match(r"bytes=(\d+)-(\d+)", self._headers.get("range", ""))
        start, end = (int(found[1]), min(int(found[2]) + 1, len(self.data))) if found else (0, len(self.data))
        line = "206 Partial Content" if found else "200 OK"
        ranged = f"content-range: bytes {start}-{end - 1}/{len(self.data)}\r\n" if found else ""
        head = f"HTTP/1.1 {line}\r\ncontent-length: {end - start}\r\n{ranged}{self.head}\r\n"
        self._transport.write(head.encode())
        if method == "GET":
            self._transport.write(memoryview(self.data)[start:end])

    def _take(self) -> None:
        body, headers = bytes(self._body), self._headers
        for name, (crc, width) in _CRCS.items():
            told = headers.get(f"x-amz-checksum-{name}")
            if told and told != b64encode(crc(body).to_bytes(width, "big")).decode():
                self._answer(400, b"<Error><Code>BadDigest</Code></Error>")
                return
        md5 = b64decode(headers["content-md5"]) if "content-md5" in headers else hashlib.md5(body).digest()
        self._answer(200, b"", f'etag: "{md5.hex()}"\r\n')

    def _answer(self, status: int, body: bytes, more: str = "") -> None:
        length = "" if status == 204 else f"content-length: {len(body)}\r\n"
        self._transport.write(f"HTTP/1.1 {status} X\r\n{length}{more}\r\n".encode() + body)


def _listing(names: list[str], size: int, etag: str) -> bytes:
    rest = f"</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;{etag}&quot;</ETag>"
    rest += f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    items = "".join(f"<Contents><Key>{name}{rest}" for name in names)
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    )
    around = f"<Name>a</Name><Prefix></Prefix><MaxKeys>1000</MaxKeys><KeyCount>{len(names)}</KeyCount>"
    return f"{head}{around}<IsTruncated>false</IsTruncated>{items}</ListBucketResult>".encode()


async def serve(count: int, size: int, folder: Path) -> None:
    certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    Objects.data = os.urandom(min(size, 1 << 20)) * -(-size // (1 << 20))
    md5 = hashlib.md5(Objects.data).hexdigest()
    crc = b64encode(checksums.crc64nvme(Objects.data).to_bytes(8, "big")).decode()
    Objects.head = (
        f'etag: "{md5}"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n'
        f"x-amz-checksum-crc64nvme: {crc}\r\nx-amz-checksum-type: FULL_OBJECT\r\n"
    )
    Objects.listing = _listing(keys(count), size, md5)
    server = await asyncio.get_running_loop().create_server(Objects, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))

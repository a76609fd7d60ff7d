"""Modes of what is read: ranges, conditions, and bytes that do not arrive as they are stored."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace

from tests.twisting.exchange import Answer, Request, Send, error, mode

GET = ("GetObject", "oci:GetObject")
READS = (*GET, "HeadObject", "oci:HeadObject")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def _content_range(answer: Answer, text: str) -> Answer:
    found = _RANGE.match(answer.headers.get("content-range", ""))
    if not found:
        return answer
    first, last, total = int(found[1]), int(found[2]), found[3]
    return answer.headed(content_range=text.format(first=first, last=last, total=total, later=first + 1))


@mode(*GET)
async def content_range_star(request: Request, send: Send) -> Answer:
    """Partial answers that do not tell the whole size."""
    return _content_range(await send(request), "bytes {first}-{last}/*")


@mode(*GET)
async def content_range_wrong(request: Request, send: Send) -> Answer:
    """Partial answers that name another place than was asked for, and have its bytes."""
    if not (found := re.match(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))) or found[1] == "0":
        return await send(request)
    asked = f"bytes={int(found[1]) - 1}-{int(found[2]) - 1}"
    return await send(replace(request, headers={**request.headers, "range": asked}))


@mode(*GET)
async def content_range_missing(request: Request, send: Send) -> Answer:
    """206 that does not say which part it is."""
    return (await send(request)).headed(content_range=None)


@mode(*GET)
async def content_range_lies(request: Request, send: Send) -> Answer:
    """Names the place that was asked for, and has the bytes before it."""
    asked = request.headers.get("range", "")
    answer = await content_range_wrong(request, send)
    found = re.match(r"bytes=(\d+)-(\d+)", asked)
    return _content_range(answer, f"bytes {found[1]}-{found[2]}/{{total}}") if found else answer


@mode(*GET)
async def total_wrong(request: Request, send: Send) -> Answer:
    """Names a whole size that is one byte less than it is."""
    answer = await send(request)
    found = _RANGE.match(answer.headers.get("content-range", ""))
    total = int(found[3]) - 1 if found else 0
    return _content_range(answer, f"bytes {{first}}-{{last}}/{total}")


@mode(*GET)
async def ignores_range(request: Request, send: Send) -> Answer:
    """Answers with 200 and the whole object."""
    return await send(request.without("range"))


@mode(*GET)
async def range_short(request: Request, send: Send) -> Answer:
    """Partial answers are a hundred bytes shorter than was asked for, and say so."""
    answer = await send(request)
    if answer.status != 206 or len(answer.body) <= 100:
        return answer
    found = _RANGE.match(answer.headers["content-range"])
    assert found
    return _content_range(answer.saying(answer.body[:-100]), f"bytes {{first}}-{int(found[2]) - 100}/{{total}}")


@mode(*READS)
async def ignores_if_match(request: Request, send: Send) -> Answer:
    """Reads whatever is there now."""
    return await send(request.without("if-match"))


@mode(*GET)
async def body_cut(request: Request, send: Send) -> Answer:
    """The first answer for each place ends before its length."""
    answer = await send(request)
    if request.again > 1 or not answer.body:
        return answer
    return answer.headed(content_length=str(len(answer.body))).saying(answer.body[:-1])


@mode(*GET)
async def body_short(request: Request, send: Send) -> Answer:
    """One byte less than is stored, and a length that fits."""
    answer = await send(request)
    return answer.saying(answer.body[:-1]) if answer.status == 200 else answer


@mode(*GET)
async def flips_a_bit(request: Request, send: Send) -> Answer:
    """One bit of every body is another one on its way here."""
    answer = await send(request)
    if answer.status >= 300 or not answer.body:
        return answer
    at = len(answer.body) // 2
    return answer.saying(answer.body[:at] + bytes([answer.body[at] ^ 1]) + answer.body[at + 1 :])


@mode("PutObject", "UploadPart", "oci:PutObject", "oci:UploadPart")
async def flips_a_bit_up(request: Request, send: Send) -> Answer:
    """One bit of every body is another one on its way there, and the server does not look."""
    if not request.body:
        return await send(request)
    at = len(request.body) // 2
    changed = request.body[:at] + bytes([request.body[at] ^ 1]) + request.body[at + 1 :]
    unchecked = {**request.headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    return await send(replace(request, body=changed, headers=unchecked))


@mode(*GET)
async def gunzips(request: Request, send: Send) -> Answer:
    """Unpacks what is stored with Content-Encoding gzip, unless the client says that it takes gzip."""
    answer = await send(request)
    takes = "gzip" in request.headers.get("accept-encoding", "")
    if answer.headers.get("content-encoding") != "gzip" or takes or answer.status != 200:
        return answer
    return answer.headed(content_encoding=None, etag=None).saying(gzip.decompress(answer.body))


@mode(*GET)
async def gzips(request: Request, send: Send) -> Answer:
    """Packs every whole body that the client does not refuse to have packed."""
    answer = await send(request)
    takes = "gzip" in request.headers.get("accept-encoding", "gzip")
    if not takes or answer.status != 200 or "content-encoding" in answer.headers:
        return answer
    return answer.headed(content_encoding="gzip", vary="Accept-Encoding").saying(gzip.compress(answer.body))


@mode("HeadObject")
async def head_400_expired(request: Request, send: Send) -> Answer:
    """The token has expired: HeadObject says 400 without a word, until another token comes."""
    token = request.headers.get("x-amz-security-token", "")
    expired = request.memory.__dict__.setdefault("expired_token", token)
    return Answer(400) if token == expired else await send(request)


@mode("HeadObject")
async def no_head(request: Request, send: Send) -> Answer:
    """Does not know HEAD."""
    return Answer(405)


@mode("HeadObject")
async def head_without_length(request: Request, send: Send) -> Answer:
    """HeadObject without Content-Length."""
    return (await send(request)).headed(content_length="0")


@mode(*READS)
async def time_beyond_header(request: Request, send: Send) -> Answer:
    """Last-Modified beyond any calendar."""
    return (await send(request)).headed(last_modified="Fri, 99 Foo 99999 99:99:99 GMT")


@mode(*GET)
async def get_html(request: Request, send: Send) -> Answer:
    """A captive portal's page with 200."""
    return Answer(200, {"content-type": "text/html"}, b"<html><body>Please log in</body></html>")


@mode(*GET)
async def vanishes(request: Request, send: Send) -> Answer:
    """What was listed is gone when it is read."""
    return error(404, "NoSuchKey", "The specified key does not exist.")


@mode(*GET)
async def archived(request: Request, send: Send) -> Answer:
    """What was listed without a storage class lies in an archive."""
    return error(403, "InvalidObjectState", "The operation is not valid for the object's storage class")

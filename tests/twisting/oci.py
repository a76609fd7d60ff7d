"""Modes of OCI Object Storage. Answers only: requests are signed, and localcloud verifies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.twisting.exchange import Answer, Hangup, Request, Send, mode

LIST = "oci:ListObjects"
DELETES = ("oci:BatchDeleteObjects", "oci:DeleteObject")
WRITES = ("oci:PutObject", "oci:UploadPart", "oci:CommitMultipartUpload", "oci:CreateMultipartUpload")


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(value).encode())


def _page_mode(name: str, change: Callable[[dict[str, Any]], Any], promise: str) -> None:
    async def changed(request: Request, send: Send) -> Answer:
        answer = await send(request)
        return answer.saying(json.dumps(change(json.loads(answer.body)))) if answer.status == 200 else answer

    changed.__doc__ = promise
    mode(LIST, name=name)(changed)


def _first_with(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    """The page with fields of its first object changed, or left out where they are ``...``."""

    def change(page: dict[str, Any]) -> Any:
        for item in page["objects"][:1]:
            item.update(fields)
            for name, value in fields.items():
                if value is ...:
                    del item[name]
        return page

    return change


_PAGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "oci-objects-is-a-map": (lambda page: {"objects": {}}, "No list where the list should be."),
    "oci-objects-is-text": (lambda page: {"objects": ""}, "Text where the list should be."),
    "oci-objects-missing": (lambda page: {}, "No objects and no word of them."),
    "oci-page-is-null": (lambda page: None, "null."),
    "oci-page-is-a-list": (lambda page: [], "A list."),
    "oci-size-negative": (_first_with(size=-1), "A size that is not a size."),
    "oci-size-fraction": (_first_with(size=1.5), "Half a byte."),
    "oci-size-nan": (_first_with(size=float("nan")), "NaN, which JSON does not have."),
    "oci-size-text": (_first_with(size="12"), "A size as text."),
    "oci-size-true": (_first_with(size=True), "true, which Python takes for one."),
    "oci-name-missing": (_first_with(name=...), "An object without a name."),
    "oci-name-number": (_first_with(name=7), "A name that is a number."),
    "oci-name-surrogate": (_first_with(name="\ud800"), "Half a character."),
    "oci-time-text": (_first_with(timeModified="yesterday"), "A time that is none."),
    "oci-md5-wrong": (_first_with(md5="not base64!"), "An MD5 that is none."),
    "oci-start-number": (lambda page: {**page, "nextStartWith": 7}, "The next page begins at a number."),
    "oci-start-empty": (lambda page: {**page, "nextStartWith": ""}, "The next page begins at the first."),
}
for _name, (_change, _promise) in _PAGES.items():
    _page_mode(_name, _change, _promise)


@mode(LIST)
async def oci_page_repeated(request: Request, send: Send) -> Answer:
    """Every page is the first one, and says that there are more."""
    first = request.memory.__dict__.setdefault("oci_first", None) or await send(request)
    request.memory.oci_first = first
    page = json.loads(first.body)
    if page.get("objects"):
        page["nextStartWith"] = page["objects"][-1]["name"]
    return first.saying(json.dumps(page))


@mode(LIST)
async def oci_utf16_order(request: Request, send: Send) -> Answer:
    """Within a page, names are ordered by UTF-16 units."""
    answer = await send(request)
    page = json.loads(answer.body)
    page.get("objects", []).sort(key=lambda item: item["name"].encode("utf-16-be"))
    return answer.saying(json.dumps(page))


@mode(LIST)
async def oci_list_html(request: Request, send: Send) -> Answer:
    """A proxy's page with 200."""
    return Answer(200, {"content-type": "text/html"}, b"<html><body>Please log in</body></html>")


@mode(LIST)
async def oci_list_cut(request: Request, send: Send) -> Answer:
    """A document that ends in its middle."""
    answer = await send(request)
    return answer.saying(answer.body[: len(answer.body) * 2 // 3])


@mode(LIST)
async def oci_list_deep(request: Request, send: Send) -> Answer:
    """Lists in lists without end."""
    return Answer(200, {"content-type": "application/json"}, b'{"objects": ' + b"[" * 200_000)


@mode(LIST)
async def oci_list_digits(request: Request, send: Send) -> Answer:
    """A number of a hundred thousand digits."""
    body = b'{"objects": [{"name": "a", "size": ' + b"9" * 100_000 + b"}]}"
    return Answer(200, {"content-type": "application/json"}, body)


@mode(*DELETES)
async def oci_delete_not_authorized(request: Request, send: Send) -> Answer:
    """404 with the code that means either of two things; nothing was deleted."""
    return _json({"code": "NotAuthorizedOrNotFound", "message": "not authorized or not found"}, 404)


@mode("oci:BatchDeleteObjects")
async def oci_delete_html(request: Request, send: Send) -> Answer:
    """A proxy's page with 200; nothing was deleted."""
    return Answer(200, {"content-type": "text/html"}, b"<html><body>Please log in</body></html>")


@mode("oci:BatchDeleteObjects")
async def oci_delete_empty(request: Request, send: Send) -> Answer:
    """200 and an empty document; nothing was deleted."""
    return _json({})


@mode(*WRITES, *DELETES)
async def oci_lost_reply(request: Request, send: Send) -> Answer:
    """The first request of each is done, and its answer lost with the connection."""
    answer = await send(request)
    if request.again == 1:
        raise Hangup
    return answer


@mode(*WRITES)
async def oci_no_md5(request: Request, send: Send) -> Answer:
    """Writes are confirmed without an MD5."""
    return (await send(request)).headed(opc_content_md5=None, opc_multipart_md5=None)

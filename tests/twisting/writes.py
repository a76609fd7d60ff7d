"""Modes of what changes a store: puts, multipart uploads, copies, deletes."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace

from tests.twisting.exchange import Answer, Hangup, Request, Send, error, mode

SLOW = ("CompleteMultipartUpload", "CopyObject", "UploadPartCopy")
WRITES = ("PutObject", "UploadPart", "CreateMultipartUpload", "DeleteObject", "DeleteObjects", *SLOW)
_ETAG = re.compile("<ETag>.*?</ETag>", re.DOTALL)


@mode(*SLOW)
async def late_error(request: Request, send: Send) -> Answer:
    """200 at once, blanks to keep the line open, and then an error: nothing was done."""
    blanks = b"<?xml version='1.0' encoding='UTF-8'?>\n" + b" " * 600
    refused = error(200, "InternalError", "We encountered an internal error. Please try again.")
    return refused.saying(blanks + refused.body.partition(b"?>\n")[2])


@mode(*SLOW)
async def late_error_first(request: Request, send: Send) -> Answer:
    """As late-error, for the first request of each; the repetition is served."""
    return await late_error(request, send) if request.again == 1 else await send(request)


@mode(*SLOW)
async def late_blanks(request: Request, send: Send) -> Answer:
    """Blanks before a document that says success."""
    answer = await send(request)
    declaration, found, rest = answer.body.partition(b"?>")
    return answer.saying(declaration + found + b" \n" * 4000 + rest) if found else answer


@mode(*SLOW)
async def late_cut(request: Request, send: Send) -> Answer:
    """200, and a success document that ends in its middle; nothing was done."""
    return Answer(200, {"content-type": "application/xml"}, b"<CompleteMultipartUploadResult><Bucket>b</Buck")


@mode(*SLOW)
async def late_nothing(request: Request, send: Send) -> Answer:
    """200 without a body; nothing was done."""
    return Answer(200)


@mode(*SLOW)
async def late_html(request: Request, send: Send) -> Answer:
    """A proxy's page with 200; nothing was done."""
    return Answer(200, {"content-type": "text/html"}, b"<html><body>Busy</body></html>")


@mode("DeleteObjects")
async def delete_bare_error(request: Request, send: Send) -> Answer:
    """200 with an error document; nothing was deleted."""
    return error(200, "InternalError", "We encountered an internal error. Please try again.")


@mode("DeleteObjects")
async def delete_cut(request: Request, send: Send) -> Answer:
    """200 with a document that ends in its middle; nothing was deleted."""
    return Answer(200, {"content-type": "application/xml"}, b"<DeleteResult><Error><Key>a</Key><Code>Interna")


@mode("DeleteObjects")
async def delete_html(request: Request, send: Send) -> Answer:
    """200 with a proxy's page; nothing was deleted."""
    return Answer(200, {"content-type": "text/html"}, b"<html><body>Please log in</body></html>")


@mode("DeleteObjects")
async def delete_empty(request: Request, send: Send) -> Answer:
    """200 without a body; nothing was deleted."""
    return Answer(200)


@mode("DeleteObjects")
async def delete_another_key(request: Request, send: Send) -> Answer:
    """An error for a key that nobody asked for."""
    row = "<Error><Key>somebody/else</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
    return Answer(200, {"content-type": "application/xml"}, f"<DeleteResult>{row}</DeleteResult>".encode())


@mode("DeleteObjects")
async def delete_refused_each(request: Request, send: Send) -> Answer:
    """Every key is refused, the document is whole, prefixed and padded."""
    keys = re.findall(rb"<Key>(.*?)</Key>", request.body)
    rows = b"".join(
        b"<s3:Error>\n <s3:Code>AccessDenied</s3:Code>\n <s3:Key>" + key + b"</s3:Key></s3:Error>" for key in keys
    )
    return Answer(
        200,
        {},
        b'<s3:DeleteResult xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/">' + rows + b"</s3:DeleteResult>",
    )


@mode("DeleteObjects")
async def delete_not_quiet(request: Request, send: Send) -> Answer:
    """Names every deleted key although it was asked not to."""
    loud = request.without("content-md5")
    headers = {**loud.headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    return await send(replace(loud, headers=headers, body=request.body.replace(b"<Quiet>true</Quiet>", b"")))


@mode("DeleteObjects")
async def no_delete_objects_501(request: Request, send: Send) -> Answer:
    """Does not know DeleteObjects, and says so."""
    return error(501, "NotImplemented", "A header you provided implies functionality that is not implemented.")


@mode("DeleteObjects")
async def no_delete_objects_405(request: Request, send: Send) -> Answer:
    """Does not know POST on a bucket."""
    return error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")


@mode("DeleteObjects")
async def no_delete_objects_404(request: Request, send: Send) -> Answer:
    """A web framework that has no such route."""
    return Answer(404, {"content-type": "text/plain"}, b"404 page not found")


@mode("ListParts")
async def no_list_parts(request: Request, send: Send) -> Answer:
    """Does not know ListParts."""
    return error(501, "NotImplemented", "ListParts")


@mode("ListParts")
async def no_list_parts_405(request: Request, send: Send) -> Answer:
    """Does not know ListParts, and answers without a document."""
    return Answer(405)


@mode("CopyObject", "UploadPartCopy")
async def no_copy(request: Request, send: Send) -> Answer:
    """Does not copy."""
    return error(501, "NotImplemented", "x-amz-copy-source")


@mode("CopyObject", "UploadPartCopy")
async def copy_not_found(request: Request, send: Send) -> Answer:
    """Looks for the source of a copy under another name (S3rver, for names with + or %)."""
    return error(404, "NoSuchKey", "The specified key does not exist.")


@mode("CopyObject", "UploadPartCopy")
async def copy_taken_for_upload(request: Request, send: Send) -> Answer:
    """Does not know the header that names the source, and stores an object, or a part, without a byte."""
    return await send(request.without("x-amz-copy-source", "x-amz-copy-source-range", "x-amz-copy-source-if-match"))


@mode("GetObjectTagging")
async def tagging_taken_for_get(request: Request, send: Send) -> Answer:
    """Does not know ?tagging, and answers with the object (rclone serve s3)."""
    return await send(request.asking(tagging=None))


@mode("CreateMultipartUpload")
async def no_multipart(request: Request, send: Send) -> Answer:
    """Takes objects whole only."""
    return error(501, "NotImplemented", "uploads")


@mode("GetObjectTagging", "PutObjectTagging")
async def no_tagging(request: Request, send: Send) -> Answer:
    """Has no tags."""
    return error(501, "NotImplemented", "tagging")


@mode("PutObject", "UploadPart")
async def wants_content_md5(request: Request, send: Send) -> Answer:
    """A bucket with Object Lock: every write has to carry a checksum."""
    if "content-md5" in request.headers or any(n.startswith("x-amz-checksum-") for n in request.headers):
        return await send(request)
    message = (
        "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
    )
    return error(400, "InvalidRequest", message)


@mode("PutObject", "UploadPart")
async def wants_only_md5(request: Request, send: Send) -> Answer:
    """As wants-content-md5, of an older store, in its own words."""
    if "content-md5" in request.headers:
        return await send(request)
    return error(400, "MissingContentMD5", "Missing required header for this request: Content-MD5")


@mode()
async def refuses_unknown_headers(request: Request, send: Send) -> Answer:
    """Takes no x-amz- header that S3 did not have ten years ago."""
    known = ("x-amz-meta-", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amz-copy-source")
    for name in request.headers:
        if name.startswith("x-amz-") and not name.startswith(known):
            return error(501, "NotImplemented", f"A header you provided implies functionality: {name}")
    return await send(request)


@mode()
async def refuses_unknown_headers_400(request: Request, send: Send) -> Answer:
    """As refuses-unknown-headers, with 400 and without the header's name."""
    answer = await refuses_unknown_headers(request, send)
    return error(400, "InvalidArgument", "Unsupported header") if answer.status == 501 else answer


@mode("UploadPart", "oci:UploadPart")
async def two_parts_only(request: Request, send: Send) -> Answer:
    """The first two parts arrive; the others wait forever."""
    if request.seen > 2:
        await asyncio.Event().wait()
    answer = await send(request)
    request.memory.parts = request.memory.__dict__.get("parts", 0) + 1
    return answer


@mode(*WRITES)
async def lost_reply(request: Request, send: Send) -> Answer:
    """The first request of each is done, and its answer lost with the connection."""
    answer = await send(request)
    if request.again == 1:
        raise Hangup
    return answer


@mode(*WRITES)
async def lost_reply_500(request: Request, send: Send) -> Answer:
    """The first request of each is done, and answered by a gateway that had no patience."""
    answer = await send(request)
    return Answer(504) if request.again == 1 else answer


@mode("PutObject", "CreateMultipartUpload", "CompleteMultipartUpload", "CopyObject", "UploadPart")
async def drops_sse(request: Request, send: Send) -> Answer:
    """Encryption is asked for, not done, and not confirmed."""
    names = [name for name in request.headers if name.startswith("x-amz-server-side-encryption")]
    answer = await send(request.without(*names))
    kept = {n: v for n, v in answer.headers.items() if not n.startswith("x-amz-server-side-encryption")}
    return replace(answer, headers=kept)


@mode("PutObject", "CreateMultipartUpload", "CompleteMultipartUpload", "CopyObject")
async def other_sse(request: Request, send: Send) -> Answer:
    """Encryption with a key of KMS is asked for, and the store's own confirmed."""
    answer = await send(request)
    if "x-amz-server-side-encryption" not in answer.headers:
        return answer
    answer = answer.headed(**{"x-amz-server-side-encryption": "AES256"})
    return answer.headed(**{"x-amz-server-side-encryption-aws-kms-key-id": None})


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


_ETAGS: dict[str, tuple[Callable[[str], str], str]] = {
    "etag-no-md5": (lambda tag: _md5("salt" + tag), "32 hex digits that are not MD5 (gateways that encrypt)."),
    "etag-not-hex": (lambda tag: f"gen_{tag[:8]}~{len(tag)}.z", "Tags that are not numbers at all."),
    "etag-upper-case": (lambda tag: tag.upper(), "The MD5 in capitals."),
    "etag-short": (lambda tag: tag[:16], "Sixteen hex digits (Azure's, some caches')."),
    "etag-odd": (lambda tag: tag[:31], "An odd number of hex digits."),
}


def _etag_mode(name: str, change: Callable[[str], str], promise: str) -> None:
    async def retagged(request: Request, send: Send) -> Answer:
        tags: dict[str, str] = request.memory.__dict__.setdefault("etags", {})
        real = {made: tag for tag, made in tags.items()}

        def made(found: re.Match[str]) -> str:
            return tags.setdefault(found[1], change(found[1]))

        def undone(text: str) -> str:
            for after, before in real.items():
                text = text.replace(after, before)
            return text

        headers = {n: undone(v) if "match" in n else v for n, v in request.headers.items()}
        body = (
            undone(request.body.decode()).encode()
            if request.operation == "CompleteMultipartUpload"
            else request.body
        )
        answer = await send(replace(request, headers=headers, body=body))
        if "etag" in answer.headers:
            answer = answer.headed(etag=re.sub("([0-9a-f]{32}(?:-[0-9]+)?)", made, answer.headers["etag"]))
        if _ETAG.search(answer.text[:200_000]):
            text = _ETAG.sub(lambda e: re.sub("([0-9a-f]{32}(?:-[0-9]+)?)", made, e[0]), answer.text)
            answer = answer.saying(text)
        return answer

    retagged.__doc__ = promise
    mode(name=name)(retagged)


for _name, (_change, _promise) in _ETAGS.items():
    _etag_mode(_name, _change, _promise)


@mode()
async def etag_missing(request: Request, send: Send) -> Answer:
    """No ETag anywhere but where parts need one."""
    answer = await send(request)
    return (
        answer
        if request.operation == "UploadPart"
        else answer.headed(etag=None).saying(
            _ETAG.sub("", answer.text) if b"<ETag>" in answer.body[:200_000] else answer.body
        )
    )


@mode("GetObject", "HeadObject")
async def etag_weak(request: Request, send: Send) -> Answer:
    """A proxy that compresses makes tags weak; If-Match with a weak tag never matches."""
    if "W/" in request.headers.get("if-match", ""):
        return error(412, "PreconditionFailed")
    answer = await send(request)
    return answer.headed(etag=f"W/{answer.headers['etag']}") if "etag" in answer.headers else answer


@mode()
async def etag_unquoted(request: Request, send: Send) -> Answer:
    """Tags without their quotes, in headers and documents."""
    answer = await send(request)
    if "etag" in answer.headers:
        answer = answer.headed(etag=answer.headers["etag"].strip('"'))
    if b"<ETag>" in answer.body[:200_000]:
        answer = answer.saying(_ETAG.sub(lambda e: re.sub('"|&quot;|&#34;', "", e[0]), answer.text))
    return answer

"""What OCI Object Storage's answers have to hold before they count.

A gateway or a proxy may answer 200 with a page of its own, or half an answer. So an operation counts as done only
when its answer has what the API reference says it has, and a body only when its MD5 comes back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from keepstep.clouds.http import Response
from keepstep.errors import Transient

_HEADERS = {
    "PutObject": ("opc-content-md5", "etag"),
    "UploadPart": ("opc-content-md5", "etag"),
    "CommitMultipartUpload": ("opc-multipart-md5", "etag"),
    "CopyObject": ("opc-work-request-id",),
}
"""By operation: of these headers its answer has one at least."""
_MEMBERS: dict[str, dict[str, type]] = {
    "BatchDeleteObjects": {"deleted": list, "failed": list},
    "CreateMultipartUpload": {"uploadId": str},
    "GetWorkRequest": {"status": str},
}
"""By operation: members of the document that it answers with, and of which type they are."""
_LISTS = frozenset({"ListMultipartUploadParts", "ListWorkRequestErrors"})
_EMPTY = frozenset({"DeleteObject", "AbortMultipartUpload"})
_HINT = "something between here and OCI may be answering in its place; check OCI_ENDPOINT_URL and the proxy"


def confirm(operation: str, response: Response, thing: str, sent: Iterable[tuple[str, str]]) -> None:
    """Raises :class:`Transient` unless a success proves that the operation was done. ``sent``: request headers."""
    text = f"{operation} on {thing}: {response.status}"
    if operation in _HEADERS:
        names = _HEADERS[operation]
        if not any(response.headers.get(name) for name in names):
            raise Transient(f"{text}, but without the header {names[0]}", hint=_HINT)
        stored = response.headers.get("opc-content-md5")
        if stored and any(name == "content-md5" and value != stored for name, value in sent):
            raise Transient(f"{text}, but the stored data differs from what was sent (MD5 differs)")
    elif operation in _MEMBERS:
        found = _document(response)
        for name, kind in _MEMBERS[operation].items():
            if not isinstance(found, dict) or not isinstance(found.get(name), kind) or found[name] == "":
                raise Transient(f"{text}, but without {name}", hint=_HINT)
    elif operation in _LISTS:
        if not isinstance(_document(response), list):
            raise Transient(f"{text}, but without a list", hint=_HINT)
    elif operation in _EMPTY and response.body:
        raise Transient(f"{text}, with something that OCI does not answer", hint=_HINT)


def answered(response: Response) -> Any:
    """The document of an answer that :func:`confirm` accepted."""
    return json.loads(response.document)


def _document(response: Response) -> Any:
    try:
        return json.loads(response.document)
    except (ValueError, RecursionError):
        return None

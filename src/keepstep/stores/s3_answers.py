"""The documents with which S3 confirms what it did.

An operation that takes long begins its answer with 200, sends blanks to keep the connection open, and may end it
with an error ("CompleteMultipartUpload", "CopyObject" and "UploadPartCopy" in the API reference). A gateway or a
proxy may answer 200 with a page of its own. So an operation counts as done only when the document that confirms it
was read whole and names what it has to name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keepstep.clouds.http import Response
from keepstep.errors import ConfigError, Transient
from keepstep.stores.s3_errors import NotOffered
from keepstep.stores.xml_reader import NotXML, first_text, local, read_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_CONFIRMATIONS = {
    "CompleteMultipartUpload": ("CompleteMultipartUploadResult", "ETag"),
    "CopyObject": ("CopyObjectResult", "ETag"),
    "CreateMultipartUpload": ("", "UploadId"),
    "DeleteObjects": ("DeleteResult", ""),
    "UploadPartCopy": ("CopyPartResult", "ETag"),
}
"""By operation: the root of the document, and the element in it that must not be empty.

What begins an upload may have any root, for rclone's is not S3's: that its id is one shows with the first part.
"""
_COPIES = frozenset({"CopyObject", "UploadPartCopy"})
_CONTENTS = frozenset({"GetObject", "ListObjectsV2"})
"""Operations whose answers are not inspected: objects may look like anything, and listings are large."""
_SSE = "x-amz-server-side-encryption"
_KMS_KEY = f"{_SSE}-aws-kms-key-id"
_REPEATED = frozenset({"", "-aws-kms-key-id", "-customer-algorithm", "-customer-key-md5"})
_HINT = "something between here and the store may be answering in its place; check the endpoint and the proxy"
_CONFIRMING_HEADERS = {"PutObject": "etag", "UploadPart": "etag"}
"""By operation that is confirmed without a document: the header that must not be empty."""


@dataclass(frozen=True, slots=True)
class XmlDocument:
    """A whole XML document. Names are compared without their namespaces."""

    root: Element

    @property
    def name(self) -> str:
        return local(self.root)

    def text(self, name: str) -> str:
        """The text of a child of the root, without surrounding blanks; empty where there is none."""
        return next((first_text(child).strip() for child in self.root if local(child) == name), "")

    def rows(self, *path: str) -> list[dict[str, str]]:
        """The children of each element at that path below the root, by name, their text as it stands."""
        found: Sequence[Element] = [self.root]
        for name in path:
            found = [child for parent in found for child in parent if local(child) == name]
        return [{local(child): first_text(child) for child in row} for row in found]


def document_in(body: bytes | bytearray) -> XmlDocument | None:
    """None when the body is not one whole XML document."""
    try:
        # Blanks that kept the connection open may stand before the XML declaration, where XML allows none.
        return XmlDocument(read_xml(bytes(body).strip()))
    except NotXML:
        return None


def confirm(operation: str, response: Response, thing: str) -> None:
    """Raises :class:`Transient` unless a success proves that the operation was done on ``thing``.

    Raises :class:`NotOffered` when a store ignored the header that makes a copy of an upload.
    """
    text = f"{operation} on {thing}: {response.status}"
    if operation in _COPIES and not response.body and "etag" in response.headers:
        raise NotOffered(f"{text}, but the store took it for an upload of nothing")
    if operation in _CONFIRMATIONS:
        root, needed = _CONFIRMATIONS[operation]
        found = document_in(response.document)
        if found is None or (root and found.name != root):
            raise Transient(f"{text}, but not a whole {root or 'document'}", hint=_HINT)
        if needed and not found.text(needed).strip('"'):
            raise Transient(f"{text}, but a {found.name} without {needed}", hint=_HINT)
    elif operation in _CONFIRMING_HEADERS:
        header = _CONFIRMING_HEADERS[operation]
        if not response.headers.get(header, "").strip('"'):
            raise Transient(f"{text}, but without the header {header}", hint=_HINT)
    elif operation == "DeleteObject" and response.body:
        raise Transient(f"{text}, with something that S3 does not answer", hint=_HINT)


class Unencrypted(ConfigError):
    """The object was written, but the answer does not confirm the encryption that was asked for."""

    def __init__(self, message: str, *, hint: str, answer: Response) -> None:
        super().__init__(message, hint=hint)
        self.answer = answer


def encryption_of(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Of the headers of a request those that its answer has to repeat ("Response Elements" of each operation)."""
    return tuple(
        (name, value) for name, value in headers if name.startswith(_SSE) and name.removeprefix(_SSE) in _REPEATED
    )


def confirm_encryption(operation: str, response: Response, thing: str, asked: Iterable[tuple[str, str]]) -> None:
    """Raises :class:`Unencrypted` unless the answer repeats the headers ``asked``."""
    for name, value in asked:
        told = response.headers.get(name, "")
        if not (_is_key(told, value) if name == _KMS_KEY else told == value):
            raise Unencrypted(
                f"{operation} on {thing}: the answer does not confirm the encryption that was asked for "
                f"({name}: {'is missing' if not told else f'{told} in place of {value}'})",
                hint="this store does not encrypt as requested; leave out --sse, --sse-kms-key-id or --sse-c, "
                "or use a store that does",
                answer=response,
            )


def _is_key(told: str, asked: str) -> bool:
    """Whether an answer names the KMS key that was asked for: by its ARN, where the request may have its id.

    The key behind an alias cannot be resolved.
    """
    if "alias/" in asked:
        return bool(told)
    return bool(told) and told.rpartition("/")[2] == asked.rpartition("/")[2]


def late_error(operation: str, response: Response) -> bool:
    """Whether a success is an error after all: it carries an error document where it must carry something else."""
    if operation in _CONTENTS or not response.body:
        return False
    found = document_in(response.document)
    return found is not None and found.name == "Error"


def answered(response: Response) -> XmlDocument:
    """The document of an answer that :func:`confirm` accepted."""
    found = document_in(response.document)
    assert found is not None
    return found


def etag_in(response: Response) -> str:
    """The ETag that a confirming document names, without quotes."""
    return answered(response).text("ETag").strip('"')

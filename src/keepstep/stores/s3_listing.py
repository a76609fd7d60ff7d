"""ListObjectsV2 answers as columns: a page costs a handful of regular expressions, not an object per key.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html. A page that does not look as AWS
writes it (another order, namespaces, CDATA) is read by a real XML parser instead, with the same result.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from keepstep.errors import Transient
from keepstep.stores.interface import Page
from keepstep.stores.times import microseconds

_KEY = re.compile(r"<Key>([^<]*)</Key>")
_SIZE = re.compile(r"<Size>(\d+)</Size>")
_TIME = re.compile(r"<LastModified>([^<]*)</LastModified>")
_ETAG = re.compile(r"<ETag>([^<]*)</ETag>")
_TOKEN = re.compile(r"<NextContinuationToken>([^<]*)</NextContinuationToken>")
_ENTITY = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#(\d+)|#[xX]([0-9a-fA-F]+));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")


def parse(body: bytes | bytearray, prefix: str) -> tuple[Page, str | None]:
    """The page, its keys relative to ``prefix``, and the token of the next one; None at the end.

    Raises :class:`Transient` when the body is no listing (a cut answer, a proxy's page).
    """
    text = body.decode("utf-8", "surrogateescape")
    keys, sizes = _KEY.findall(text), _SIZE.findall(text)
    times, etags = _TIME.findall(text), _ETAG.findall(text)
    count = text.count("<Contents>")
    is_plain = (
        count == len(keys) == len(sizes) == len(times) == len(etags)
        and "</ListBucketResult>" in text
        and "<![CDATA[" not in text
    )
    if not is_plain or (not count and "<Contents" in text):
        return _parse_any(body, prefix)
    if any("&" in key for key in keys):
        keys = [unescape(key) for key in keys]
    page = Page(
        _decoded(keys, prefix, is_encoded="<EncodingType>url<" in text),
        list(map(int, sizes)),
        list(map(microseconds, times)),
        [etag.replace("&quot;", "").replace("&#34;", "").strip('"') for etag in etags],
    )
    if any(name in text for name in _ARCHIVED):
        page.unfit = _archived(body)
    token = _TOKEN.search(text) if "<IsTruncated>true<" in text else None
    return page, unescape(token[1]) if token else None


def _parse_any(body: bytes | bytearray, prefix: str) -> tuple[Page, str | None]:
    try:
        root = ElementTree.fromstring(bytes(body))  # noqa: S314 - from the store we are configured to trust
    except ElementTree.ParseError as exc:
        raise Transient("the store answered a listing with something that is no listing") from exc
    if _local(root.tag) != "ListBucketResult":
        raise Transient(f"the store answered a listing with <{_local(root.tag)}>")
    keys: list[str] = []
    page = Page(keys)
    for number, item in enumerate(child for child in root if _local(child.tag) == "Contents"):
        values = {_local(value.tag): value.text or "" for value in item}
        keys.append(values["Key"])
        page.sizes.append(int(values["Size"]))
        page.times.append(microseconds(values["LastModified"]))
        page.etags.append(values.get("ETag", "").strip('"'))
        if why := _why_archived(item):
            page.unfit[number] = why
    top = {_local(child.tag): child.text or "" for child in root}
    page.keys = _decoded(keys, prefix, is_encoded=top.get("EncodingType") == "url")
    token = top.get("NextContinuationToken") if top.get("IsTruncated") == "true" else None
    return page, token or None


def _decoded(keys: list[str], prefix: str, *, is_encoded: bool) -> list[str]:
    if is_encoded:
        keys = [unquote_plus(key) if "%" in key or "+" in key else key for key in keys]
    start = len(prefix)
    return [key[start:] for key in keys] if start else keys


def _archived(body: bytes | bytearray) -> dict[int, str]:
    """Which objects lie in an archive and have not been restored from it."""
    items = [child for child in ElementTree.fromstring(bytes(body)) if _local(child.tag) == "Contents"]  # noqa: S314
    return {number: why for number, item in enumerate(items) if (why := _why_archived(item))}


def _why_archived(item: ElementTree.Element) -> str:
    values = {_local(value.tag): value.text or "" for value in item.iter()}
    storage_class = values.get("StorageClass", "")
    is_restored = bool(values.get("RestoreExpiryDate"))
    if storage_class in _ARCHIVED and not is_restored:
        return f"is archived ({storage_class}) and has not been restored"
    return ""


def unescape(text: str) -> str:
    """Undoes XML's entities."""

    def character(found: re.Match[str]) -> str:
        name, decimal, hexadecimal = found.groups()
        return _NAMED[name] if name else chr(int(decimal) if decimal else int(hexadecimal, 16))

    return _ENTITY.sub(character, text)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]

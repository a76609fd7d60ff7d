"""ListObjectsV2 answers as columns: a page costs one regular expression, not an XML element and an object per key.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html. A page that looks otherwise than
the stores that we know write it (order, namespaces, CDATA) is read by a real XML parser, with the same result.
"""

from __future__ import annotations

import re
from itertools import repeat
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from keepstep.clouds.times import microseconds
from keepstep.errors import Corrupt, Transient
from keepstep.stores.interface import Page

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_KEY, _TIME, _SIZE = "<Key>([^<]*)</Key>", "<LastModified>([^<]*)</LastModified>", "<Size>([0-9]+)</Size>"
_QUOTE = '(?:&quot;|"|&#34;)'
_TAG = f'<ETag>{_QUOTE}([^<&"]*){_QUOTE}</ETag>'
_SUMS = "(?:<Checksum[A-Za-z]*>[^<]*</Checksum[A-Za-z]*>)*"
_ORDERS = (
    (re.compile(f"<Contents>{_KEY}{_TIME}{_TAG}{_SUMS}{_SIZE}"), (0, 1, 2, 3)),
    (re.compile(f"<Contents>{_KEY}{_TAG}{_SIZE}(?:<StorageClass>[A-Z_]*</StorageClass>)?{_TIME}"), (0, 3, 1, 2)),
)
"""As AWS, MinIO and Ceph order them, and as SeaweedFS does; and where key, time, tag and size are then. One
expression costs half of what four would, one for each column."""
_TRUNCATED = re.compile(r"<IsTruncated>(true|false)</IsTruncated>")
_TOKEN = re.compile(r"<NextContinuationToken>([^<]*)</NextContinuationToken>")
_START = re.compile(r"(<\?xml[^>]*\?>\s*)?<ListBucketResult[ >]")
_END = "</ListBucketResult>"
_UNUSUAL = ("<!", "\r")
"""CDATA and comments, and line ends of which XML makes one."""
_RARE = "!\rGV_HRILCEDAP<"
"""What the marks consist of, the rarest in listings first."""
_ENTITY = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#([0-9]{1,6})|#[xX](10[0-9a-fA-F]{4}|[0-9a-fA-F]{1,5}));")
_NO_ENTITY = re.compile(rf"&(?!{_ENTITY.pattern[1:]})|&#[xX]?[dD5]")
"""Not well-formed, or possibly half a character (U+D800 to U+DFFF, 55296 to 57343)."""
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")


def parse(body: bytes | bytearray, prefix: str) -> tuple[Page, str | None]:
    """The page, its keys relative to ``prefix``, and the token of the next one; None at the end.

    Raises :class:`Transient` when the body is no listing (a cut answer, a proxy's page), and :class:`Corrupt` when
    it is one that cannot be right. No key is ever left out silently.
    """
    try:
        page, is_encoded, is_truncated, token = _parse_plain(body) or _parse_any(body)
        page.keys = _relative(page.keys, prefix, is_encoded=is_encoded)
    except (ValueError, KeyError, OverflowError) as exc:
        raise Transient(f"the store answered a listing with something that is no listing ({exc!r})") from exc
    if is_truncated and not token:
        raise Corrupt(
            "the store says that there are more keys, but not how to get them",
            hint="it does not know ListObjectsV2 as S3 does",
        )
    return page, token if is_truncated else None


_Parsed = tuple[Page, bool, bool, str]
"""The page, whether its keys are URL-encoded, whether there are more, and the next token."""


def _parse_plain(body: bytes | bytearray) -> _Parsed | None:
    """None when the page does not look as it usually does."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    count = text.count("Contents>")
    found, places = next(
        ((rows, places) for order, places in _ORDERS if 2 * len(rows := order.findall(text)) == count), ([], ())
    )
    around = text[: text.find("<Contents>")] + text[text.rfind("</Contents>") :]
    truncated, tokens = _TRUNCATED.findall(around), _TOKEN.findall(around)
    is_plain = (
        count == 2 * len(found)
        and len(truncated) == 1
        and _START.match(text)
        and text.find(_END) == len(text) - len(_END)
        and not any(_has(text, mark) for mark in _UNUSUAL)
    )
    if not is_plain:
        return None
    columns = list(zip(*found, strict=True)) or [()] * 4
    names, times, etags, sizes = (columns[place] for place in places)
    keys = list(names)
    if "&" in "".join(keys):
        if any(map(_NO_ENTITY.search, keys)):
            return None
        keys = list(map(unescape, keys))
    page = Page(keys, list(map(int, sizes)), list(map(microseconds, times)), list(etags))
    if any(_has(text, name) for name in _ARCHIVED):
        page.unfit = _archived(_root(body))
    token = unescape(tokens[0]) if tokens else ""
    return page, "<EncodingType>url<" in text, truncated[0] == "true", token


def _has(text: str, mark: str) -> bool:
    """Whether ``mark`` is in ``text``. Its rarest character is looked for first, at the speed of memory."""
    return min(mark, key=_RARE.find) in text and mark in text


def _parse_any(body: bytes | bytearray) -> _Parsed:
    root = _root(body)
    if _local(root.tag) != "ListBucketResult":
        raise ValueError(f"<{_local(root.tag)}>")
    page = Page(unfit=_archived(root))
    for item in _contents(root):
        values = {_local(value.tag): value.text or "" for value in item}
        page.keys.append(values["Key"])
        page.sizes.append(_natural(values["Size"]))
        page.times.append(microseconds(values["LastModified"].strip()))
        page.etags.append(values.get("ETag", "").strip().strip('"'))
    top = {_local(child.tag): (child.text or "").strip() for child in root}
    if top["IsTruncated"] not in ("true", "false"):
        raise ValueError(f"IsTruncated is {top['IsTruncated']!r}")
    is_encoded = top.get("EncodingType") == "url"
    return page, is_encoded, top["IsTruncated"] == "true", top.get("NextContinuationToken", "")


def _root(body: bytes | bytearray) -> Element:
    from xml.etree import ElementTree

    try:
        return ElementTree.fromstring(bytes(body))  # noqa: S314 - from the store we are configured to trust
    except ElementTree.ParseError as exc:
        raise ValueError(str(exc)) from exc


def _contents(root: Element) -> list[Element]:
    return [child for child in root if _local(child.tag) == "Contents"]


def _relative(keys: list[str], prefix: str, *, is_encoded: bool) -> list[str]:
    if is_encoded:
        joined = "".join(keys)
        if "%" in joined or "+" in joined:
            keys = [unquote_plus(key, errors="strict") if "%" in key or "+" in key else key for key in keys]
    if not prefix:
        return keys
    if not all(map(str.startswith, keys, repeat(prefix))):
        raise ValueError(f"a key that does not start with {prefix!r}")
    return [key[len(prefix) :] for key in keys]


def _archived(root: Element) -> dict[int, str]:
    """Which objects lie in an archive and have not been restored from it."""
    return {number: why for number, item in enumerate(_contents(root)) if (why := _why_archived(item))}


def _why_archived(item: Element) -> str:
    values = {_local(value.tag): (value.text or "").strip() for value in item.iter()}
    storage_class = values.get("StorageClass", "")
    if storage_class in _ARCHIVED and not values.get("RestoreExpiryDate"):
        return f"is archived ({storage_class}) and has not been restored"
    return ""


def escape(text: str) -> str:
    """Text as XML writes it between tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    """Undoes XML's entities; what is none stays as it is."""
    return _ENTITY.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    name, decimal, hexadecimal = found.groups()
    return _NAMED[name] if name else chr(int(decimal) if decimal else int(hexadecimal, 16))


def _natural(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError(f"{text!r} is no size")
    return int(text)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def parse_folders(body: bytes | bytearray, prefix: str) -> tuple[list[str], bool]:
    """The common prefixes of a listing with a delimiter, relative to ``prefix``, and whether there are more.

    Raises as :func:`parse` does.
    """
    try:
        root = _root(body)
        found = [item for child in root if _local(child.tag) == "CommonPrefixes" for item in child]
        top = {_local(child.tag): (child.text or "").strip() for child in root}
        names = [item.text or "" for item in found]
        is_encoded = top.get("EncodingType") == "url"
        return _relative(names, prefix, is_encoded=is_encoded), top.get("IsTruncated") == "true"
    except ValueError as exc:
        raise Transient(f"the store answered a listing with something that is no listing ({exc!r})") from exc


def parse_parts(body: bytes | bytearray) -> tuple[list[tuple[int, int, str]], str]:
    """The parts of an upload (number from 1, size in bytes, ETag), and where the next page begins, if any.

    Raises as :func:`parse` does.
    """
    try:
        root = _root(body)
        items = [{_local(v.tag): (v.text or "") for v in child} for child in root if _local(child.tag) == "Part"]
        parts = [(_natural(item["PartNumber"]), _natural(item["Size"]), item["ETag"]) for item in items]
        top = {_local(child.tag): (child.text or "").strip() for child in root}
        return parts, top["NextPartNumberMarker"] if top.get("IsTruncated") == "true" else ""
    except (ValueError, KeyError) as exc:
        raise Transient(f"the store answered a listing of parts with something else ({exc!r})") from exc

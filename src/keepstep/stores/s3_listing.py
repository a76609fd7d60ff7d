"""ListObjectsV2 answers as columns: a page costs one regular expression, not an XML element and an object per key.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html. There are two readers. The fast one
takes a page only when it recognises every byte of it, as AWS, MinIO, Ceph and SeaweedFS write their pages; every
other page goes to the exact one, an XML parser. What both take they read alike (``make test-listings``).
"""

from __future__ import annotations

import re
from itertools import chain, repeat
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

from keepstep.clouds.times import microseconds
from keepstep.errors import Corrupt
from keepstep.stores.interface import Page
from keepstep.stores.listing import Garbled, ListedPage, UnrepresentableName, unrepresentable
from keepstep.stores.xml_reader import LARGEST, fields, local, read_xml, text_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_TEXT = r"[^<>\x00-\x1f]*"
_KEY = f"<Key>({_TEXT})</Key>"
_TIME = r"<LastModified>([0-9T:.Z+-]*)</LastModified>"
_SIZE = "<Size>([0-9]{1,18})</Size>"
_SUMS = "(?:<ChecksumAlgorithm>[A-Z0-9]*</ChecksumAlgorithm>)*(?:<ChecksumType>[A-Z_]*</ChecksumType>)?"
_CLASS = "(?:<StorageClass>([A-Z0-9_-]*)</StorageClass>)?"
_OWNER = "(?:<Owner>(?:<ID>[^<>&\x00-\x1f]*</ID>)?(?:<DisplayName>[^<>&\x00-\x1f]*</DisplayName>)?</Owner>)?"
_QUOTES = ("&quot;", "&#34;", '"')


def _rows(*parts: str) -> tuple[re.Pattern[str], ...]:
    """One pattern for each way to quote an ETag."""
    tags = (f"<ETag>{quote}([0-9A-Za-z+/=_.:-]*){quote}</ETag>" for quote in _QUOTES)
    return tuple(re.compile("<Contents>" + "".join(parts).replace("TAG", tag) + "</Contents>") for tag in tags)


_ORDERS = (
    (
        _rows(_KEY, _TIME, "TAG", _SUMS, _SIZE, _OWNER, _CLASS, _OWNER, "(?:<Type>[A-Za-z]*</Type>)?"),
        (0, 1, 2, 3, 4),
    ),
    (_rows(_KEY, "TAG", _SIZE, _OWNER, _CLASS, _TIME, _OWNER), (0, 4, 1, 2, 3)),
)
"""As AWS, MinIO and Ceph order them, and as SeaweedFS does; and where key, time, tag, size and class are then."""
_NAMESPACE = '(?: xmlns="https?://[a-z0-9.]*amazonaws\\.com/[a-z0-9/-]*")?'
_DECLARATION = (
    r"""(?:<\?xml version="1\.0"(?: encoding="[Uu][Tt][Ff]-8")?(?: standalone="yes")? ?\?>"""
    r"""|<\?xml version='1\.0'(?: encoding='[Uu][Tt][Ff]-8')?(?: standalone='yes')? ?\?>)\n?"""
)
_START = re.compile(f"(?:{_DECLARATION})?<ListBucketResult{_NAMESPACE}>")
_END = "</ListBucketResult>"
_FIELD = re.compile(r"<([A-Za-z]+)(?:>([^<>&\x00-\x1f]*)</\1>| ?/>)")
_MOST_AROUND = 64 * 1024
"""Characters around the objects."""
_TOP = frozenset({"IsTruncated", "EncodingType", "NextContinuationToken"})
_FOLDER = frozenset({"Prefix"})
_COLUMNS = frozenset({"Key", "Size", "LastModified", "ETag", "StorageClass"})

_ENTITY = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#([0-9]{1,6})|#[xX](10[0-9a-fA-F]{4}|[0-9a-fA-F]{1,5}));")
_PLAIN_ENTITY = re.compile(
    r"&(?!(?:amp|lt|gt|quot|apos|#(?:9|10|13|3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])|#x[2-6][0-9A-Fa-f]);)"
)
"""An ampersand that does not begin one of XML's five entities, or a number of ASCII."""
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")


def parse(body: bytes | bytearray, prefix: str) -> ListedPage:
    """Reads an answer.

    Raises :class:`Garbled` when the body is not a listing (a cut answer, a proxy's page), and :class:`Corrupt` when
    it is one that cannot be right. No key is ever left out silently.
    """
    try:
        read = read_fast(body) or read_exact(body)
        page = read.page
        page.keys, unrepresentable_names = _relative(page.keys, prefix, is_encoded=read.is_encoded)
    except (ValueError, KeyError, OverflowError) as exc:
        raise Garbled(f"the store answered a listing with something that is not a listing ({exc!r})") from exc
    if read.is_truncated and not read.token:
        raise Corrupt(
            "the store reports more keys, but not how to get them",
            hint="it does not know ListObjectsV2 as S3 does",
        )
    return ListedPage(
        _without(page, unrepresentable_names),
        read.token if read.is_truncated else None,
        [*unrepresentable_names.values()],
    )


class Read(NamedTuple):
    """An answer as it is written."""

    page: Page
    is_encoded: bool
    """Whether its keys are URL-encoded."""
    is_truncated: bool
    token: str


def read_fast(body: bytes | bytearray) -> Read | None:
    """None when there is anything in the page that this does not recognise."""
    if len(body) > LARGEST:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    start = _START.match(text)
    if not start or not text.endswith(_END) or not _has_xml_characters(text):
        return None
    first, last = text.find("<Contents>"), text.rfind("</Contents>") + len("</Contents>")
    if first < 0:
        first = last = len(text) - len(_END)
    top = _top(text[start.end() : first], text[last : -len(_END)])
    columns = _columns(text[first:last])
    if top is None or columns is None:
        return None
    keys, times, etags, sizes, classes = columns
    try:
        page = Page(keys, list(map(int, sizes)), list(map(microseconds, times)), etags)
    except (ValueError, OverflowError):
        return None
    if not {*_ARCHIVED}.isdisjoint(classes):
        page.unfit = {n: _archived(name) for n, name in enumerate(classes) if name in _ARCHIVED}
    return Read(
        page, top.get("EncodingType") == "url", top["IsTruncated"] == "true", top.get("NextContinuationToken", "")
    )


def _has_xml_characters(text: str) -> bool:
    return text.isascii() or not ("\ufffe" in text or "\uffff" in text)


def _top(*parts: str) -> dict[str, str] | None:
    """What stands around the objects; None when it is not fields alone, or one of ours comes twice."""
    if sum(map(len, parts)) > _MOST_AROUND:
        return None
    found = list(chain.from_iterable(map(_FIELD.finditer, parts)))
    if sum(len(field[0]) for field in found) != sum(map(len, parts)):
        return None
    names = [field[1] for field in found if field[1] in _TOP]
    is_odd = len(names) != len(set(names)) or any(field[1] in ("Contents", "CommonPrefixes") for field in found)
    top = {field[1]: (field[2] or "").strip() for field in found}
    return None if is_odd or top.get("IsTruncated") not in ("true", "false") else top


def _columns(text: str) -> tuple[list[str], list[str], list[str], list[str], list[str]] | None:
    """Keys, times, tags, sizes and classes; None when there is anything between the objects, or in them."""
    if not text:
        return [], [], [], [], []
    for patterns, places in _ORDERS:
        for pattern in patterns:
            if pattern.match(text):
                pieces = pattern.split(text)
                if any(pieces[::6]):
                    return None
                keys, times, etags, sizes, classes = (pieces[1 + place :: 6] for place in places)
                if "&" in "".join(keys):
                    if any(map(_PLAIN_ENTITY.search, keys)):
                        return None
                    keys = list(map(unescape, keys))
                return keys, times, etags, sizes, classes
    return None


def read_exact(body: bytes | bytearray) -> Read:
    """Raises ``ValueError`` or ``KeyError`` when it is not a listing."""
    root = _root(body, "ListBucketResult")
    page = Page()
    for item in root:
        match local(item):
            case "Contents":
                _append(page, item)
            case "CommonPrefixes":
                raise ValueError("folders in place of the keys that were asked for")
    top = {name: text.strip() for name, text in fields(root, _TOP).items()}
    if top["IsTruncated"] not in ("true", "false"):
        raise ValueError(f"IsTruncated is {top['IsTruncated']!r}")
    token = top.get("NextContinuationToken", "")
    token.encode()
    return Read(page, top.get("EncodingType") == "url", top["IsTruncated"] == "true", token)


def _append(page: Page, item: Element) -> None:
    values = fields(item, _COLUMNS)
    storage_class = values.get("StorageClass", "").strip()
    if storage_class in _ARCHIVED and not _is_restored(item):
        page.unfit[len(page)] = _archived(storage_class)
    page.keys.append(values["Key"])
    page.sizes.append(_natural(values["Size"]))
    page.times.append(microseconds(values["LastModified"].strip()))
    page.etags.append(values.get("ETag", "").strip().strip('"'))


def _is_restored(item: Element) -> bool:
    status = [child for child in item if local(child) == "RestoreStatus"]
    return any(local(value) == "RestoreExpiryDate" and text_of(value).strip() for each in status for value in each)


def _archived(storage_class: str) -> str:
    return f"is archived ({storage_class}) and has not been restored"


def _root(body: bytes | bytearray, name: str) -> Element:
    root = read_xml(body)
    if local(root) != name:
        raise ValueError(f"<{local(root)}>")
    return root


def _relative(
    keys: list[str], prefix: str, *, is_encoded: bool
) -> tuple[list[str], dict[int, UnrepresentableName]]:
    """The keys without the prefix, and by index the names that are none."""
    joined = "".join(keys)
    if is_encoded and ("%" in joined or "+" in joined):
        keys = [unquote_plus(key, errors="surrogateescape") if "%" in key or "+" in key else key for key in keys]
        joined = "".join(keys)
    unrepresentable_names: dict[int, UnrepresentableName] = {}
    if not joined.isascii() and not _is_text(joined):
        unrepresentable_names = {
            n: unrepresentable(key.removeprefix(prefix)) for n, key in enumerate(keys) if not _is_text(key)
        }
    if not prefix:
        if "" in keys:
            raise ValueError("a key without a name")
        return keys, unrepresentable_names
    if not all(map(str.startswith, keys, repeat(prefix))):
        raise ValueError(f"a key that does not start with {prefix!r}")
    return [key[len(prefix) :] for key in keys], unrepresentable_names


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without(page: Page, unrepresentable_names: dict[int, UnrepresentableName]) -> Page:
    if not unrepresentable_names:
        return page
    kept = Page()
    for number in range(len(page)):
        if number not in unrepresentable_names:
            kept.append(page.entry(number))
    return kept


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
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise ValueError(f"{text[:40]!r} is not a size")
    return int(digits)


def parse_folders(body: bytes | bytearray, prefix: str) -> tuple[list[str], bool]:
    """The common prefixes of a listing with a delimiter, relative to ``prefix``, and whether there are more.

    Raises as :func:`parse` does.
    """
    try:
        root = _root(body, "ListBucketResult")
        found = [fields(item, _FOLDER)["Prefix"] for item in root if local(item) == "CommonPrefixes"]
        top = {name: text.strip() for name, text in fields(root, _TOP).items()}
        keys, unrepresentable_names = _relative(found, prefix, is_encoded=top.get("EncodingType") == "url")
        return [key for n, key in enumerate(keys) if n not in unrepresentable_names], top["IsTruncated"] == "true"
    except (ValueError, KeyError) as exc:
        raise Garbled(f"the store answered a listing with something that is not a listing ({exc!r})") from exc


class Part(NamedTuple):
    """One that is there."""

    number: int
    """From 1."""
    size: int
    """Bytes."""
    etag: str
    checksum: str = ""
    """Of the algorithm that the upload's beginning announced; empty where the store does not tell."""


class Parts(NamedTuple):
    """A page of them."""

    parts: list[Part]
    marker: str
    """Where the next page begins; empty where there is none."""
    algorithm: str
    """Of the checksums that the upload's beginning announced."""


def parse_parts(body: bytes | bytearray) -> Parts:
    """Raises as :func:`parse` does."""
    top = frozenset({"IsTruncated", "NextPartNumberMarker", "ChecksumAlgorithm"})
    try:
        root = read_xml(body)
        around = {name: text.strip() for name, text in fields(root, top).items()}
        algorithm = around.get("ChecksumAlgorithm", "").upper()
        checksum = f"Checksum{algorithm}"
        wanted = frozenset({"PartNumber", "Size", "ETag", checksum})
        items = [fields(child, wanted) for child in root if local(child) == "Part"]
        parts = [
            Part(_natural(item["PartNumber"]), _natural(item["Size"]), item["ETag"], item.get(checksum, "").strip())
            for item in items
        ]
        marker = around["NextPartNumberMarker"] if around.get("IsTruncated") == "true" else ""
        return Parts(parts, marker, algorithm)
    except (ValueError, KeyError) as exc:
        raise Garbled(f"the store answered a listing of parts with something else ({exc!r})") from exc

"""ListObjects answers of OCI as columns: every field is what it must be, or it is rejected.

Source: https://docs.oracle.com/en-us/iaas/api/#/en/objectstorage/20160918/datatypes/ListObjects
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterable
from itertools import repeat
from typing import Any

from keepstep.clouds.times import microseconds
from keepstep.stores.interface import Page
from keepstep.stores.listing import Garbled, ListedPage, unrepresentable

_DIGEST = re.compile(r"([0-9A-Za-z+/]{22}==)((?:-[0-9]+)?)\Z")
_LARGEST = 32 * 1024 * 1024
"""Bytes. A page of a thousand names of 1024 bytes, each written as an escape, has 6 million."""
_MOST_BYTES = 1 << 63
_ARCHIVED = ("Archived", "Restoring")


def parse(body: bytes | bytearray, prefix: str, *, has_digests: bool) -> ListedPage:
    """Reads an answer. Raises :class:`Garbled` when it is anything but a page."""
    try:
        document = _document(body)
        objects = document["objects"]
        page = Page(
            _texts(item["name"] for item in objects),
            _sizes(item["size"] for item in objects),
            [microseconds(item.get("timeModified") or item["timeCreated"]) for item in objects],
            _texts(item["etag"] for item in objects),
        )
        if has_digests:
            page.digests = [hex_of(item.get("md5")) for item in objects]
        for number, item in enumerate(objects):
            if item.get("archivalState") in _ARCHIVED:
                page.unfit[number] = f"is archived ({item['archivalState']}) and has not been restored"
        unrepresentable_names = _unrepresentable_names(page.keys)
        if prefix:
            page.keys = _relative(page.keys, prefix)
        token = _token(document)
    except _FAULTS as exc:
        raise Garbled(f"OCI answered a listing with something that is not a listing ({_brief(exc)})") from exc
    if unrepresentable_names:
        page, names = _divided(page, unrepresentable_names)
        return ListedPage(page, token, [unrepresentable(name) for name in names])
    return ListedPage(page, token, [])


def parse_folders(body: bytes | bytearray, prefix: str) -> tuple[list[str], bool]:
    """The folders that a listing with a delimiter shows, relative to ``prefix``, and whether there are more."""
    try:
        document = _document(body)
        names = _texts(document.get("prefixes") or [])
        return _relative([name for name in names if _is_text(name)], prefix), _token(document) is not None
    except _FAULTS as exc:
        raise Garbled(f"OCI answered a listing with something that is not a listing ({_brief(exc)})") from exc


_FAULTS = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def _document(body: bytes | bytearray) -> dict[str, Any]:
    """An object whose ``objects`` is a list of objects."""
    if len(body) > _LARGEST or body.count(b'"objects"') != 1:
        raise ValueError("not one list of objects")
    document = json.loads(body, parse_constant=_refuse)
    objects = document["objects"] if isinstance(document, dict) else None
    if not isinstance(objects, list) or not all(map(isinstance, objects, repeat(dict))):
        raise ValueError("not a list of objects")
    found: dict[str, Any] = document
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _texts(values: Iterable[Any]) -> list[str]:
    found = list(values)
    if found and set(map(type, found)) != {str}:
        raise ValueError("a name or an ETag that is not text")
    return found


def _sizes(values: Iterable[Any]) -> list[int]:
    """``type`` and not ``isinstance``: true and false are not sizes."""
    found = list(values)
    if found and (set(map(type, found)) != {int} or min(found) < 0 or max(found) >= _MOST_BYTES):
        raise ValueError("an invalid size")
    return found


def _token(document: dict[str, Any]) -> str | None:
    token = document.get("nextStartWith")
    if token is None:
        return None
    if not isinstance(token, str) or not token or not _is_text(token):
        raise ValueError("nextStartWith is not a name")
    return token


def _relative(names: list[str], prefix: str) -> list[str]:
    if not all(map(str.startswith, names, repeat(prefix))):
        raise ValueError("a name that does not start with what was asked for")
    return [name[len(prefix) :] for name in names]


def _unrepresentable_names(names: list[str]) -> list[int]:
    """Where halves of characters are, which JSON can write and UTF-8 cannot."""
    joined = "".join(names)
    if joined.isascii() or _is_text(joined):
        return []
    return [number for number, name in enumerate(names) if not _is_text(name)]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _divided(page: Page, unrepresentable_names: list[int]) -> tuple[Page, list[str]]:
    kept = Page()
    for number in range(len(page)):
        if number not in unrepresentable_names:
            kept.append(page.entry(number))
    return kept, [page.keys[number] for number in unrepresentable_names]


def _brief(exc: BaseException) -> str:
    return repr(exc)[:200]


def hex_of(digest: str | None) -> str:
    """An MD5 as OCI writes it, of an object or, with a number after a dash, of its parts, as S3 writes it."""
    found = _DIGEST.match(digest) if isinstance(digest, str) else None
    return b64decode(found[1]).hex() + found[2] if found else ""

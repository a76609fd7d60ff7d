"""The parts of multipart uploads, and what they become."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from keepstep_localcloud.objectstorage.contents import Contents
from keepstep_localcloud.objectstorage.problems import invalid
from keepstep_localcloud.objectstorage.spool import Received
from keepstep_localcloud.objectstorage.stored import new_etag
from keepstep_localcloud.storage import Database

MOST = 10_000
"""Part numbers go from 1 to here."""


class Part(NamedTuple):
    """One part of an upload."""

    upload: str
    number: int
    size: int
    etag: str
    md5: str
    """Base64."""
    blob: int | None


class Parts:
    """Every part of every upload. Changes are made within a transaction."""

    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    def of(self, upload: str) -> list[Part]:
        """The parts of an upload by number."""
        rows = self._database.execute("select * from part where upload = ? order by number", (upload,))
        return [Part._make(row) for row in rows]

    def put(self, upload: str, number: int, received: Received) -> Part:
        """Keeps a part in place of the one with its number."""
        self.forget(part for part in self.of(upload) if part.number == number)
        part = Part(upload, number, received.size, new_etag(), received.md5, self._contents.keep(received))
        self._database.execute("insert into part values (?, ?, ?, ?, ?, ?)", part)
        return part

    def forget(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self._contents.release(part.blob)
            self._database.execute("delete from part where upload = ? and number = ?", (part.upload, part.number))


def part_number(text: str | None) -> int:
    """Raises 400 ``InvalidUploadPartNumber``."""
    if text is None or not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST:
        raise invalid(f"A part number is a number from 1 to {MOST}", "InvalidUploadPartNumber")
    return int(text)


def chosen(document: Mapping[str, Any], parts: list[Part]) -> list[Part]:
    """The parts that ``CommitMultipartUploadDetails`` wants joined, by number.

    Raises 400 ``InvalidUploadPart`` unless each part is either committed under its ETag or excluded.
    """
    try:
        wanted = {int(each["partNum"]): each["etag"] for each in document["partsToCommit"]}
        excluded = {int(number) for number in document.get("partsToExclude") or ()}
    except (KeyError, TypeError, ValueError):
        raise invalid("partsToCommit is not a list of partNum and etag", "InvalidUploadPart") from None
    found = [part for part in parts if wanted.get(part.number) == part.etag]
    if not wanted or len(found) != len(wanted):
        raise invalid("A part to commit was not uploaded, or its ETag differs", "InvalidUploadPart")
    if {part.number for part in parts} - wanted.keys() != excluded:
        raise invalid("Each part is either in partsToCommit or in partsToExclude", "InvalidUploadPart")
    return found


def multipart_md5(parts: Iterable[Part]) -> str:
    """``opc-multipart-md5``: MD5 over the parts' MD5s, in base64, and after a dash how many they are."""
    digests = [base64.b64decode(part.md5) for part in parts]
    digest = hashlib.md5(b"".join(digests), usedforsecurity=False).digest()
    return f"{base64.b64encode(digest).decode()}-{len(digests)}"

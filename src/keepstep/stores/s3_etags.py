"""Whether the ETags of a store are MD5s, as they are in S3, or only look like it.

Some gateways encrypt what they store, or compute their ETags in a way of their own: 32 hex digits that are the MD5
of nothing that anybody can see. What differs from its ETag is looked at a second time; if it is the same then,
other objects of the bucket decide whether this one is damaged or the store's ETags are something else.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from keepstep.errors import Error
from keepstep.stores.interface import Page
from keepstep.stores.s3_client import S3Client

_MD5 = re.compile(r"[0-9a-f]{32}\Z")
_MD5_OF_PARTS = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,4})\Z")
AS_STORED = (("accept-encoding", "identity"),)
"""Asks a gateway for the bytes as they are stored."""
_OTHERS = 3
"""So many other objects are looked at."""
_SMALL = 1024 * 1024
"""Bytes of those at most."""


class Etags:
    """What is known of one bucket's ETags in this run."""

    def __init__(self, client: S3Client, first_page: Callable[[], Awaitable[Page]], notices: list[str]) -> None:
        self.are_md5: bool | None = None
        """None: not known yet."""
        self._client = client
        self._first_page = first_page
        self._notices = notices
        self._lock = asyncio.Lock()

    def md5_in(self, headers: Mapping[str, str]) -> tuple[str, int] | None:
        """The MD5 in hex that an answer's ETag is, and of how many parts' MD5s (0: of the contents); None if none.

        It is the MD5 where no key of KMS or of the user encrypts the object ("Object" in the API reference, ETag).
        """
        if self.are_md5 is False:
            return None
        etag = headers.get("etag", "").strip('"')
        if headers.get("x-amz-server-side-encryption", "AES256") != "AES256":
            return None
        if "x-amz-server-side-encryption-customer-algorithm" in headers:
            return None
        if _MD5.match(etag):
            return etag, 0
        found = _MD5_OF_PARTS.match(etag)
        return (found[1], int(found[2])) if found else None

    async def decide(self, prefix: str, key: str) -> bool:
        """Whether they are MD5s, although the object ``key`` contradicts. ``prefix`` is that of the first page."""
        async with self._lock:
            if self.are_md5 is None and await self._agrees(prefix, but=key) is not True:
                self.note_other()
        return self.are_md5 is True

    async def are_believed(self, prefix: str) -> bool:
        """Whether an ETag may be taken for an MD5 although nobody looks at the contents."""
        async with self._lock:
            is_known = self.are_md5 is not None or self._client.endpoint.is_of_aws
            if not is_known and await self._agrees(prefix) is False:
                self.note_other()
        return self.are_md5 is not False

    def note_other(self) -> None:
        """They are not MD5s. Said once."""
        if self.are_md5 is not False:
            self.are_md5 = False
            self._notices.append(
                f"{self._client.thing()}: the ETags of this store look like MD5s and are something else; "
                "contents are checked by size and by stored checksums, and compared by reading"
            )

    async def _agrees(self, prefix: str, but: str = "") -> bool | None:
        """Whether some object's ETag is its MD5; None when there is none to look at."""
        page, verdict = await self._first_page(), None
        rows = zip(page.keys, page.sizes, page.etags, strict=True)
        others = [prefix + name for name, size, etag in rows if 0 < size <= _SMALL and _MD5.match(etag)]
        for other in [name for name in others if name != but][:_OTHERS]:
            with suppress(Error):
                response = await self._client.call("GetObject", "GET", other, headers=AS_STORED, most=_SMALL)
                if (found := self.md5_in(response.headers)) and not found[1]:
                    verdict = hashlib.md5(response.body, usedforsecurity=False).hexdigest() == found[0]
            if verdict:
                self.are_md5 = True
                return True
        return verdict

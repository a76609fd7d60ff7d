"""Asks OCI for the pages of a listing (ListObjects)."""

from __future__ import annotations

from keepstep.stores.listing import ListedPage, UnrepresentableName, add_new, repeated
from keepstep.stores.oci_client import OciClient
from keepstep.stores.oci_listing import parse, parse_folders
from keepstep.stores.options import TransferOptions
from keepstep.stores.ranges import Fetched

LISTED_FIELDS = "name,size,etag,timeCreated,timeModified,storageTier,archivalState"


class OciPages:
    """The names of one bucket beneath one prefix; see :class:`~keepstep.stores.ranges.PageSource`."""

    def __init__(
        self,
        client: OciClient,
        prefix: str,
        options: TransferOptions,
        unrepresentable_names: list[UnrepresentableName],
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._page_size = str(options.page_size)
        self._takes_archived = options.takes_archived
        self._has_digests = options.tells_contents
        self._fields = f"{LISTED_FIELDS},md5" if options.tells_contents else LISTED_FIELDS
        self._unrepresentable_names = unrepresentable_names

    async def page(self, prefix: str, after: str | None, token: str | None) -> Fetched:
        """Adds names that cannot be keys to the unrepresentable ones."""
        query = [("fields", self._fields)]
        if token is not None:
            query.append(("start", token))
        elif after is not None and self._prefix + after:
            query.append(("startAfter", self._prefix + after))

        async def read() -> ListedPage:
            body = await self._list(prefix, query)
            return parse(body, self._prefix, has_digests=self._has_digests)

        listed = await repeated(read)
        add_new(self._unrepresentable_names, listed.unrepresentable_names)
        if self._takes_archived:
            listed.page.unfit = {}
        return Fetched(listed.page, listed.token)

    async def folders(self, prefix: str, after: str | None) -> tuple[list[str], bool]:
        start = [] if after is None else [("startAfter", self._prefix + after)]
        body = await self._list(prefix, [("delimiter", "/"), *start])
        return parse_folders(body, self._prefix)

    async def _list(self, prefix: str, more: list[tuple[str, str]]) -> bytes | bytearray:
        query = [("limit", self._page_size), *more]
        if self._prefix + prefix:
            query.append(("prefix", self._prefix + prefix))
        return (await self._client.call("ListObjects", "GET", "o", query=query)).document

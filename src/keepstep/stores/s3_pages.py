"""Asks S3, or a store that speaks S3, for the pages of a listing (ListObjectsV2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from keepstep.errors import ConfigError, Denied, Error, NotFound, Transient
from keepstep.stores.listing import Habits, UnrepresentableName, add_new, repeated
from keepstep.stores.options import TransferOptions
from keepstep.stores.ranges import Fetched
from keepstep.stores.s3_client import S3Client
from keepstep.stores.s3_listing import parse, parse_folders

T = TypeVar("T")

_ATTRIBUTES = "x-amz-optional-object-attributes"
_ENCODING = "encoding-type"
_OPTIONAL = (_ATTRIBUTES, _ENCODING)
"""What is asked for beyond the essentials, the least known first."""


class S3Pages:
    """The keys of one bucket beneath one prefix; see :class:`~keepstep.stores.ranges.PageSource`."""

    def __init__(
        self,
        client: S3Client,
        prefix: str,
        options: TransferOptions,
        habits: Habits,
        unrepresentable_names: list[UnrepresentableName],
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._page_size = str(options.page_size)
        self._takes_archived = options.takes_archived
        self._habits = habits
        self._unrepresentable_names = unrepresentable_names

    async def page(self, prefix: str, after: str | None, token: str | None) -> Fetched:
        """Adds names that cannot be keys to the unrepresentable ones."""
        query = [("prefix", self._prefix + prefix)]
        if token is not None:
            query.append(("continuation-token", token))
        elif after is not None and self._prefix + after:
            query.append(("start-after", self._prefix + after))

        listed = await repeated(lambda: self._read(query, partial(parse, prefix=self._prefix)))
        add_new(self._unrepresentable_names, listed.unrepresentable_names)
        if self._takes_archived:
            listed.page.unfit = {}
        return Fetched(listed.page, listed.token)

    async def folders(self, prefix: str, after: str | None) -> tuple[list[str], bool]:
        query = [("prefix", self._prefix + prefix), ("delimiter", "/")]
        if after is not None:
            query.append(("start-after", self._prefix + after))
        return await self._read(query, partial(parse_folders, prefix=self._prefix))

    async def _read(self, query: list[tuple[str, str]], parse_: Callable[[bytes | bytearray], T]) -> T:
        return parse_(await self._list(query))

    async def _list(self, query: list[tuple[str, str]]) -> bytes | bytearray:
        """A store that refuses what it does not know is asked without it, now and for the rest of the run."""
        try:
            return await self._send(query, self._habits.left_out)
        except (Transient, Denied, NotFound, ConfigError):
            raise
        except Error as exc:
            refusal = exc
        for count in range(len(self._habits.left_out) + 1, len(_OPTIONAL) + 1):
            with suppress(Error):
                body = await self._send(query, _OPTIONAL[:count])
                self._habits.left_out = _OPTIONAL[:count]
                return body
        raise refusal

    async def _send(self, query: list[tuple[str, str]], left_out: Sequence[str]) -> bytes | bytearray:
        encoding = [] if _ENCODING in left_out else [(_ENCODING, "url")]
        response = await self._client.call(
            "ListObjectsV2",
            "GET",
            None,
            query=[("list-type", "2"), ("max-keys", self._page_size), *encoding, *query],
            headers=() if _ATTRIBUTES in left_out else [(_ATTRIBUTES, "RestoreStatus")],
        )
        return response.document

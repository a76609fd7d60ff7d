"""Deletes from a bucket of S3. A key counts as deleted only when an answer accounts for it."""

from __future__ import annotations

import asyncio
import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence

from keepstep.errors import ConfigError, Corrupt, Error, NotFound, Transient
from keepstep.stores.interface import Missing
from keepstep.stores.s3_answers import XmlDocument, answered
from keepstep.stores.s3_client import S3Client
from keepstep.stores.s3_errors import error_for
from keepstep.stores.s3_listing import escape

_BATCH = 1000
"""Keys in one DeleteObjects (API reference)."""
_ATTEMPTS = 4
_AT_ONCE = 16
"""Single deletes in flight."""
_ALONE = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
"""Characters that XML cannot hold, or that its readers replace: a key with one of them is deleted by itself."""
_GONE = ("NoSuchKey", "NoSuchVersion")


class S3Deletes:
    """Deletes the keys beneath one prefix: in batches, or one by one where the store knows no DeleteObjects."""

    def __init__(self, client: S3Client, prefix: str, notices: list[str]) -> None:
        self._client = client
        self._prefix = prefix
        self._notices = notices
        self._takes_batches = True

    async def delete(self, keys: Sequence[str]) -> dict[str, Error]:
        """See :meth:`~keepstep.stores.interface.Store.delete`."""
        alone = {key for key in keys if _ALONE.search(key)}
        together = [key for key in keys if key not in alone] if alone else keys
        failures: dict[str, Error] = {}
        for start in range(0, len(together), _BATCH):
            failures |= await self._delete_many(together[start : start + _BATCH])
        return failures | await self._delete_each(alone)

    async def _delete_many(self, keys: Sequence[str]) -> dict[str, Error]:
        if not self._takes_batches:
            return await self._delete_each(keys)
        try:
            return await self._delete_batch(keys)
        except (ConfigError, Corrupt, Transient) as exc:
            return dict.fromkeys(keys, exc)
        except Error as exc:
            return await self._without_batches(keys, exc)

    async def _without_batches(self, keys: Sequence[str], refusal: Error) -> dict[str, Error]:
        """The batch was refused as a whole: a store that knows no DeleteObjects still lets one key be deleted."""
        first, *others = keys
        if failures := await self._delete_each([first]):
            is_same = not isinstance(failures[first], NotFound | Transient)
            return dict.fromkeys(keys, failures[first] if is_same else refusal)
        if self._takes_batches:
            self._takes_batches = False
            self._notices.append(
                f"{self._client.thing()}: this store does not know DeleteObjects; objects are deleted one by one"
            )
        return await self._delete_each(others)

    async def _delete_each(self, keys: Iterable[str]) -> dict[str, Error]:
        failures: dict[str, Error] = {}
        remaining = iter(keys)

        async def work() -> None:
            for key in remaining:
                try:
                    await self._client.call("DeleteObject", "DELETE", self._prefix + key)
                except Missing:
                    continue
                except Error as exc:
                    failures[key] = exc

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(work())
        return failures

    async def _delete_batch(self, keys: Sequence[str]) -> dict[str, Error]:
        """Raises what concerns the whole batch. Keys that fail for a passing reason are tried again."""
        failures: dict[str, Error] = {}
        for _ in range(_ATTEMPTS):
            failures |= await self._delete_once(keys)
            keys = [key for key in keys if isinstance(failures.get(key), Transient)]
            if not keys:
                break
            again = dict.fromkeys(keys)
            passing = {key: failures.pop(key) for key in again}
        else:
            failures |= passing
        return failures

    async def _delete_once(self, keys: Sequence[str]) -> dict[str, Error]:
        items = "".join(f"<Object><Key>{escape(self._prefix + key)}</Key></Object>" for key in keys)
        head = '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>'
        body = f"{head}{items}</Delete>".encode()
        md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        response = await self._client.call(
            "DeleteObjects",
            "POST",
            None,
            query=[("delete", "")],
            # Content-MD5, which the API asks for, because stores other than AWS know no other checksum here.
            headers=[("content-md5", md5), ("content-type", "application/xml")],
            body=body,
            digest=hashlib.sha256(body).hexdigest(),
        )
        return self._failures(answered(response), keys)

    def _failures(self, result: XmlDocument, keys: Sequence[str]) -> dict[str, Error]:
        """What a whole answer says of each key. Raises :class:`Corrupt` when it says something of another one.

        In quiet mode only errors are listed; where a store lists what it deleted all the same, a key that is
        neither among those nor among the errors is tried again.
        """
        asked, skip = set(keys), len(self._prefix)
        failures: dict[str, Error] = {}
        for row in result.rows("Error"):
            full, code = row.get("Key", ""), row.get("Code", "")
            key = full[skip:]
            if not full.startswith(self._prefix) or key not in asked:
                text = f"DeleteObjects on {self._client.thing()}: {code or 'an error'} for {full!r}"
                raise Corrupt(f"{text}, which was not to be deleted", hint=_HINT)
            if code not in _GONE:
                failures[key] = error_for(code, row.get("Message", ""), "DeleteObjects", self._client.bucket, full)
        if deleted := {row.get("Key", "")[skip:] for row in result.rows("Deleted")}:
            for key in asked - deleted - failures.keys():
                text = f"DeleteObjects on {self._client.thing(self._prefix + key)}: the answer does not mention it"
                failures[key] = Transient(text, hint=_HINT)
        return failures


_HINT = "whether the objects are gone is not known; the next run looks again"

"""Deletes from a bucket of OCI. An object counts as deleted only when an answer accounts for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from keepstep.errors import ConfigError, Corrupt, Denied, Error, NotFound, Transient
from keepstep.stores.interface import Missing
from keepstep.stores.oci_answers import answered
from keepstep.stores.oci_client import OciClient

_BATCH = 1000
"""Objects in one BatchDeleteObjects (API reference)."""
_ATTEMPTS = 4
_HINT = "whether the objects are gone is not known; the next run looks again"


class OciDeletes:
    """Deletes the objects beneath one prefix: in batches, or one by one where the service knows none."""

    def __init__(self, client: OciClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._takes_batches = True

    async def delete(self, keys: Sequence[str]) -> dict[str, Error]:
        """See :meth:`~keepstep.stores.interface.Store.delete`."""
        failures: dict[str, Error] = {}
        for start in range(0, len(keys), _BATCH):
            failures |= await self._delete_many(keys[start : start + _BATCH])
        return failures

    async def _delete_many(self, keys: Sequence[str]) -> dict[str, Error]:
        if not self._takes_batches:
            return await self._delete_each(keys)
        try:
            return await self._delete_batch(keys)
        except (ConfigError, Corrupt, Denied, NotFound, Transient) as exc:
            return dict.fromkeys(keys, exc)
        except Error as exc:  # a gateway that knows no BatchDeleteObjects
            first, *others = keys
            if await self._delete_each([first]):
                return dict.fromkeys(keys, exc)
            self._takes_batches = False
            return await self._delete_each(others)

    async def _delete_batch(self, keys: Sequence[str]) -> dict[str, Error]:
        """Raises what concerns the whole batch. What fails for a passing reason, or is in doubt, is asked again."""
        failures: dict[str, Error] = {}
        for _ in range(_ATTEMPTS):
            failures, doubtful = await self._delete_once(keys, failures)
            failures |= await self._delete_each(doubtful)
            keys = [key for key in keys if isinstance(failures.get(key), Transient)]
            if not keys:
                break
        return failures

    async def _delete_each(self, keys: Sequence[str]) -> dict[str, Error]:
        failures: dict[str, Error] = {}
        for key in keys:
            try:
                await self._client.call("DeleteObject", "DELETE", "o", self._prefix + key)
            except Missing:
                continue
            except Error as exc:
                failures[key] = exc
        return failures

    async def _delete_once(
        self, keys: Sequence[str], failures: dict[str, Error]
    ) -> tuple[dict[str, Error], list[str]]:
        """What failed, and what the answer says to be missing or forbidden, without saying which of the two."""
        objects = [{"objectName": self._prefix + key} for key in keys]
        # Deletes are to be listed: what an answer does not mention may not have happened.
        body = json.dumps({"objects": objects, "isSkipDeletedResult": False}).encode()
        response = await self._client.call("BatchDeleteObjects", "POST", "actions/batchDeleteObjects", body=body)
        result = answered(response)
        left, doubtful = dict.fromkeys(keys), []
        failures = {key: error for key, error in failures.items() if key not in left}
        for item in result["deleted"]:
            left.pop(self._key(item, left), None)
        for item in result["failed"]:
            key = self._key(item, left)
            left.pop(key)
            if item.get("statusCode") == 404:
                doubtful.append(key)
            else:
                failures[key] = self._error(key, item)
        for key in left:
            text = f"BatchDeleteObjects on {self._client.thing(self._prefix + key)}: the answer does not mention it"
            failures[key] = Transient(text, hint=_HINT)
        return failures, doubtful

    def _key(self, item: Any, asked: dict[str, None]) -> str:
        """Raises :class:`Corrupt` when an answer is about an object that was not to be deleted."""
        name = str(item.get("objectName", "")) if isinstance(item, dict) else ""
        key = name[len(self._prefix) :]
        if not name.startswith(self._prefix) or key not in asked:
            text = f"BatchDeleteObjects on {self._client.thing()}: the answer is about {name!r}"
            raise Corrupt(f"{text}, which was not to be deleted", hint=_HINT)
        return key

    def _error(self, key: str, item: dict[str, Any]) -> Error:
        status = item.get("statusCode")
        text = (
            f"BatchDeleteObjects on {self._client.thing(self._prefix + key)}: {status}: {item.get('errorMessage')}"
        )
        is_passing = status in (409, 429, 500, 502, 503, 504)
        return Transient(text) if is_passing else Error(text)

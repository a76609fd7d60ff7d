"""One bucket of OCI Object Storage, addressed, and its refusals explained."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from keepstep.clouds.http import Buffer, Response, Timeouts
from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_service import Explain, OciService, quoted
from keepstep.errors import Error, NotFound
from keepstep.stores import bling
from keepstep.stores.oci_answers import answered, confirm
from keepstep.stores.oci_errors import error_of

HeaderPair = tuple[str, str]
Headers = tuple[HeaderPair, ...]

_UNSIGNED_BODY = frozenset({"PutObject", "UploadPart"})
"""Operations whose body is not part of the signature ("Request Signatures", special implementation for PUT)."""


class OciClient:
    """Sends Object Storage's operations to one bucket. Each may be repeated, and is."""

    def __init__(
        self,
        bucket: str,
        namespace: str,
        identity: OciIdentity,
        *,
        headers: Mapping[str, Headers] | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        """``headers`` go with every request, by operation (:func:`keepstep.stores.oci_headers.oci_headers`)."""
        self.bucket = bucket
        self.namespace = namespace
        self._headers = headers or {}
        self.identity = identity
        self._service = OciService("objectstorage", identity, timeouts=timeouts)

    @property
    def requests(self) -> Counter[str]:
        return self._service.requests

    @property
    def throttle_count(self) -> int:
        return self._service.throttle_count

    def thing(self, name: str | None = None) -> str:
        """The address of an object, or of the bucket, for messages."""
        return f"oci://{self.bucket}@{self.namespace}" + (f"/{name}" if name is not None else "")

    async def close(self) -> None:
        await self._service.close()

    async def call(
        self,
        operation: str,
        method: str,
        collection: str,
        name: str | None = None,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Iterable[HeaderPair] = (),
        body: Buffer = b"",
        most: int | None = None,
    ) -> Response:
        """One operation to its end. ``collection`` is ``o`` for objects, ``u`` for uploads, or an action's path.

        Raises what :mod:`keepstep.stores.oci_errors` makes of a refusal, and :class:`TooLarge`.
        """

        def explain(response: Response) -> Error:
            grantee = self.identity.grantee
            return error_of(response, operation, self.namespace, self.bucket, name, grantee=grantee)

        try:
            return await self._call(operation, method, collection, name, explain, query, headers, body, most)
        except NotFound as exc:
            if self.namespace == bling.NAMESPACE and operation == "ListObjects":
                exc.hint = await bling.advice_when_refused(self.bucket, self.identity)
            raise

    async def region(self) -> str:
        """The bucket's, which is the identity's."""
        return (await self.identity.key()).region

    async def start_copy(self, details: dict[str, Any]) -> str:
        """CopyObject of one of this bucket's objects; returns the OCID of the work request."""
        response = await self.call("CopyObject", "POST", "actions/copyObject", body=json.dumps(details).encode())
        return response.headers["opc-work-request-id"]

    async def work_request(self, number: str, part: str = "") -> Any:
        """A work request as it stands, or a ``part`` of it: ``/errors``."""
        operation = "ListWorkRequestErrors" if part else "GetWorkRequest"

        def explain(response: Response) -> Error:
            return error_of(response, operation, self.namespace, self.bucket, None, grantee=self.identity.grantee)

        def confirmed(response: Response) -> None:
            confirm(operation, response, f"work request {number}", ())

        path = f"/workRequests/{quoted(number)}{part}"
        return answered(await self._service.call(operation, "GET", path, explain, confirm=confirmed))

    async def _call(
        self,
        operation: str,
        method: str,
        collection: str,
        name: str | None,
        explain: Explain,
        query: Iterable[tuple[str, str]],
        headers: Iterable[HeaderPair],
        body: Buffer,
        most: int | None,
    ) -> Response:
        path = f"/n/{quoted(self.namespace)}/b/{quoted(self.bucket)}/{collection}"

        own = list(headers)

        def confirmed(response: Response) -> None:
            confirm(operation, response, self.thing(name), own)

        return await self._service.call(
            operation,
            method,
            path if name is None else f"{path}/{quoted(name)}",
            explain,
            query=query,
            headers=[*self._headers.get(operation, ()), *own],
            body=body,
            is_body_signed=operation not in _UNSIGNED_BODY,
            most=most,
            confirm=confirmed,
        )

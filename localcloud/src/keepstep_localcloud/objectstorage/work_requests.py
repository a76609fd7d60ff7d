"""Copies, which OCI does in its own time, and the work requests by which a client follows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from keepstep_localcloud.identity import Facts, new_ocid
from keepstep_localcloud.objectstorage import times
from keepstep_localcloud.objectstorage.listing import limit_of
from keepstep_localcloud.objectstorage.problems import missing, not_authorized
from keepstep_localcloud.storage import Documents
from keepstep_localcloud.wire import Request, Response, Route, ServiceError

DELAY = 0.05
"""Seconds between accepting a copy and doing it, so that a client that does not wait is found out."""

Work = Callable[[dict[str, Any]], list[dict[str, Any]]]
"""Does what was asked for, and says which resources it touched."""


class WorkRequests:
    """Everything that was accepted, and the handlers that show how it went."""

    def __init__(self, documents: Documents, facts: Facts, work: Work) -> None:
        self._documents = documents
        self._facts = facts
        self._work = work

    def routes(self) -> list[Route]:
        one = "/workRequests/{number}"
        return [
            Route("ListWorkRequests", "GET", "/workRequests", self.list),
            Route("GetWorkRequest", "GET", one, self.get),
            Route("CancelWorkRequest", "DELETE", one, self.cancel),
            Route("ListWorkRequestErrors", "GET", f"{one}/errors", self.errors),
            Route("ListWorkRequestLogs", "GET", f"{one}/logs", self.logs),
        ]

    def accept(self, operation: str, details: dict[str, Any]) -> str:
        """Queues the work, and gives it an OCID."""
        request: dict[str, Any] = {
            "operationType": operation,
            "status": "ACCEPTED",
            "id": new_ocid("objectstorageworkrequest", self._facts.region),
            "compartmentId": self._facts.tenancy,
            "resources": [],
            "percentComplete": 0.0,
            "timeAccepted": times.now(),
            "timeStarted": None,
            "timeFinished": None,
        }
        self._documents.put(request["id"], {"request": request, "details": details, "errors": [], "logs": []})
        asyncio.get_running_loop().call_later(DELAY, self.finish, request["id"])
        return str(request["id"])

    def resume(self) -> None:
        """Does what was accepted before a crash."""
        for document in self._documents.all():
            if document["request"]["status"] == "ACCEPTED":
                self.finish(document["request"]["id"])

    def finish(self, number: str) -> None:
        document = self._documents.get(number)
        request, moment = document["request"], times.now()
        if request["status"] != "ACCEPTED":
            return
        try:
            request["resources"] = self._work(document["details"])
            request.update({"status": "COMPLETED", "percentComplete": 100.0})
            document["logs"].append({"message": "Completed", "timestamp": moment})
        except ServiceError as exc:
            request["status"] = "FAILED"
            document["errors"].append({"code": exc.code, "message": exc.message, "timestamp": moment})
        request.update({"timeStarted": moment, "timeFinished": moment})
        self._documents.put(number, document)

    async def get(self, request: Request, number: str) -> Response:
        return Response(body=self._find(number)["request"])

    async def list(self, request: Request) -> Response:
        if "compartmentId" not in request.query:
            raise missing("compartmentId")
        found = [document["request"] for document in self._documents.all()]
        found = [each for each in found if each["compartmentId"] == request.query["compartmentId"]]
        return Response(body=found[: limit_of(request.query, 1000)])

    async def cancel(self, request: Request, number: str) -> Response:
        document = self._find(number)
        if document["request"]["status"] != "ACCEPTED":
            raise ServiceError(409, "NotCancelable", "The work request is not waiting any more")
        document["request"].update({"status": "CANCELED", "timeFinished": times.now()})
        self._documents.put(number, document)
        return Response(202)

    async def errors(self, request: Request, number: str) -> Response:
        return Response(body=self._find(number)["errors"])

    async def logs(self, request: Request, number: str) -> Response:
        return Response(body=self._find(number)["logs"])

    def _find(self, number: str) -> dict[str, Any]:
        document: dict[str, Any] | None = self._documents.get(number)
        if document is None:
            raise not_authorized()
        return document

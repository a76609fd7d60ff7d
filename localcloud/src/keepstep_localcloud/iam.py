"""The identity service (API 20160918), as far as clients ask it who they are and where the home region is.

Source: ``oci.identity.IdentityClient``.
"""

from __future__ import annotations

from typing import Any

from keepstep_localcloud.identity import REGION_KEY, Facts
from keepstep_localcloud.wire import Request, Response, Route, ServiceError

BORN = "2024-01-01T00:00:00.000Z"


def routes(facts: Facts) -> list[Route]:
    service = IdentityService(facts)
    subscriptions = "/tenancies/{tenancy}/regionSubscriptions"
    return [
        Route("ListRegionSubscriptions", "GET", subscriptions, service.subscriptions),
        Route("GetTenancy", "GET", "/tenancies/{tenancy}", service.tenancy),
        Route("GetUser", "GET", "/users/{user}", service.user),
    ]


class IdentityService:
    """The handlers of the identity service."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    async def subscriptions(self, request: Request, tenancy: str) -> Response:
        self._check(tenancy)
        home = {
            "regionKey": REGION_KEY.upper(),
            "regionName": self._facts.region,
            "status": "READY",
            "isHomeRegion": True,
        }
        return Response(body=[home])

    async def tenancy(self, request: Request, tenancy: str) -> Response:
        self._check(tenancy)
        return Response(body={"id": tenancy, "name": "localcloud", "homeRegionKey": REGION_KEY.upper()})

    async def user(self, request: Request, user: str) -> Response:
        if user != self._facts.user:
            raise _absent()
        found: dict[str, Any] = {
            "id": user,
            "compartmentId": self._facts.tenancy,
            "name": "localcloud",
            "description": "the user of the local OCI",
            "timeCreated": BORN,
            "lifecycleState": "ACTIVE",
        }
        return Response(body=found)

    def _check(self, tenancy: str) -> None:
        if tenancy != self._facts.tenancy:
            raise _absent()


def _absent() -> ServiceError:
    return ServiceError(404, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found.")

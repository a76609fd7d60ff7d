"""The instance metadata service, version 2: what an instance learns about itself at ``/opc/v2``.

Every call needs ``Authorization: Bearer Oracle``. Source: "Getting Instance Metadata" of the OCI documentation, and
``InstancePrincipalsSecurityTokenSigner``, which honours ``OCI_METADATA_BASE_URL``.
"""

from __future__ import annotations

from typing import Any

from keepstep_localcloud.identity import REGION_KEY, Identity
from keepstep_localcloud.wire import Request, Response, Route, ServiceError


def routes(identity: Identity) -> list[Route]:
    service = Metadata(identity)
    return [
        *(
            Route("GetInstanceMetadata", "GET", f"/opc/v2/instance{rest}", service.instance, is_open=True)
            for rest in ("", "/", "/{field:rest}")
        ),
        Route("GetInstanceIdentity", "GET", "/opc/v2/identity/{name}", service.proof, is_open=True),
    ]


class Metadata:
    """The handlers of the metadata service."""

    def __init__(self, identity: Identity) -> None:
        facts = identity.facts
        self._instance: dict[str, Any] = {
            "id": facts.instance,
            "displayName": "localcloud",
            "hostname": "localcloud",
            "compartmentId": facts.compartment,
            "tenantId": facts.tenancy,
            "region": REGION_KEY,
            "canonicalRegionName": facts.region,
            "regionInfo": {
                "realmDomainComponent": "oraclecloud.com",
                "realmKey": "oc1",
                "regionIdentifier": facts.region,
                "regionKey": REGION_KEY.upper(),
            },
        }
        self._proof = {
            "cert.pem": identity.certificate("leaf"),
            "intermediate.pem": identity.certificate("intermediate"),
            "key.pem": identity.key_file("instance_key").read_bytes(),
        }

    async def instance(self, request: Request, field: str = "") -> Response:
        """All facts as JSON, or one of them: text as it is, anything else as JSON."""
        _check(request)
        found: Any = self._instance
        for name in filter(None, field.split("/")):
            if not isinstance(found, dict) or name not in found:
                raise _absent(field)
            found = found[name]
        return _text(found.encode()) if isinstance(found, str) else Response(body=found)

    async def proof(self, request: Request, name: str) -> Response:
        """The instance's certificate, its issuer's, or its private key."""
        _check(request)
        if name not in self._proof:
            raise _absent(name)
        return _text(self._proof[name])


def _check(request: Request) -> None:
    if request.headers.get("authorization") != "Bearer Oracle":
        raise ServiceError(401, "NotAuthenticated", "Authorization: Bearer Oracle is missing")


def _absent(name: str) -> ServiceError:
    return ServiceError(404, "NotFound", f"there is no {name}")


def _text(content: bytes) -> Response:
    return Response(body=content, headers={"content-type": "text/plain"})

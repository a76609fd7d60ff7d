"""Resource principals that are exchanged in two steps: versions 1.1, 2.1, 2.1.1, 2.1.2 and, for parents, 3.0.

A resource first asks the service that it belongs to who it is (``resourcePrincipalToken…``), and then the
authentication service for a session (``/v1/resourcePrincipalSessionToken``). It signs with its machine's instance
principal (1.1), with a key of its own (2.1 and later) or, for its parent's token, with its own session. Source:
``oci.auth.signers`` of the SDK. The function of this tenancy is the only resource, and its own ancestor.
"""

from __future__ import annotations

from keepstep_localcloud.federation import public_key
from keepstep_localcloud.identity import Facts
from keepstep_localcloud.signatures import denied
from keepstep_localcloud.tokens import Tokens
from keepstep_localcloud.wire import Request, Response, Route, ServiceError

PARENT = "opc-parent-rpt-url"
"""The header in which a parent's token says that there is another one above it."""
_MOST = 20


def routes(tokens: Tokens, facts: Facts) -> list[Route]:
    service = Resources(tokens, facts)
    return [
        Route("ResourceToken", "GET", "/resourcePrincipalToken/{resource}", service.of_machine),
        Route("ResourceTokenV2", "GET", "/resourcePrincipalTokenV2/{resource}", service.of_resource),
        Route("ResourceTokenV212", "GET", "/resourcePrincipalTokenV212/{resource}", service.of_resource),
        Route("ParentToken", "GET", "/resourcePrincipalTokenOfParent/{above}", service.of_parent),
        Route("ResourceSession", "POST", "/v1/resourcePrincipalSessionToken", service.session),
    ]


class Resources:
    """The handlers."""

    def __init__(self, tokens: Tokens, facts: Facts) -> None:
        self._tokens = tokens
        self._facts = facts

    async def of_machine(self, request: Request, resource: str) -> Response:
        """The resource that an instance runs; ``resource`` is the instance's OCID or any other name."""
        if request.principal.kind != "instance":
            raise denied("the machine's instance principal has to sign")
        return self._tokens_for(self._facts.function)

    async def of_resource(self, request: Request, resource: str) -> Response:
        """The resource that signs with its own key."""
        if request.principal.kind != "resource_key" or request.principal.subject != resource:
            raise denied("the resource's own key has to sign")
        return self._tokens_for(resource)

    async def of_parent(self, request: Request, above: str) -> Response:
        """The parent of the resource whose session signs; ``above`` is how many parents that one has."""
        if request.principal.kind != "resource":
            raise denied("a resource principal has to sign")
        if not above.isdecimal() or int(above) > _MOST:
            raise ServiceError(404, "NotFound", "there is no such parent")
        response = self._tokens_for(self._facts.function)
        if int(above):
            path = request.target.rpartition("/")[0]
            response.headers[PARENT] = f"http://{request.headers['host']}{path}/{int(above) - 1}"
        return response

    async def session(self, request: Request) -> Response:
        """A session for the resource that both tokens name, bound to the key in the request."""
        document = request.document()
        names = ("resourcePrincipalToken", "servicePrincipalSessionToken")
        subjects = {self._tokens.sealed(str(document.get(name)), name) for name in names}
        if len(subjects) != 1:
            raise denied("the tokens are not of one resource")
        facts = self._facts
        key = public_key(document.get("sessionPublicKey"))
        claims = {"res_tenant": facts.tenancy, "res_compartment": facts.compartment, "res_type": "fnfunc"}
        return Response(body={"token": self._tokens.issue("resource", facts.tenancy, subjects.pop(), key, claims)})

    def _tokens_for(self, subject: str) -> Response:
        names = ("resourcePrincipalToken", "servicePrincipalSessionToken")
        return Response(body={name: self._tokens.seal(subject, name) for name in names})

"""The authentication service: certificates, and tokens about to end, are exchanged for tokens.

``POST /v1/x509`` is what the SDK's ``X509FederationClient`` calls, ``/v1/authentication/refresh`` is what
``oci session refresh`` calls, and ``/resourcePrincipalSessionTokens`` is OKE's exchange for pods. The SDK calls
that last one at https on port 12250 only; here it is served as plain http next to everything else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from keepstep_localcloud import signatures
from keepstep_localcloud.certificates import is_trusted, subject_facts
from keepstep_localcloud.identity import Facts
from keepstep_localcloud.keys import TOKEN
from keepstep_localcloud.signatures import denied
from keepstep_localcloud.tokens import Tokens, key_of, unverified
from keepstep_localcloud.wire import Request, Response, Route, ServiceError

DIGESTS = {"fed-x509": hashlib.sha1, "fed-x509-sha256": hashlib.sha256}
"""How the key id names the leaf certificate."""


def routes(tokens: Tokens, facts: Facts, roots: Sequence[x509.Certificate]) -> list[Route]:
    """Every call of the authentication service; ``roots`` are the authorities whose instances are believed."""
    service = Federation(tokens, facts, roots)
    return [
        Route("X509Federation", "POST", "/v1/x509", service.federate, is_open=True),
        Route("RefreshSession", "POST", "/v1/authentication/refresh", service.refresh),
        Route("WorkloadToken", "POST", "/resourcePrincipalSessionTokens", service.workload, is_open=True),
    ]


class Federation:
    """The handlers of the authentication service."""

    def __init__(self, tokens: Tokens, facts: Facts, roots: Sequence[x509.Certificate]) -> None:
        self._tokens = tokens
        self._facts = facts
        self._roots = roots

    async def federate(self, request: Request) -> Response:
        """A token for the instance whose leaf certificate's key signed the request."""
        document = request.document()
        leaf = _certificate(document.get("certificate"))
        intermediates = [_certificate(pem) for pem in document.get("intermediateCertificates") or ()]
        if not is_trusted(leaf, intermediates, self._roots, datetime.now(UTC)):
            raise denied("the certificate does not lead to a trusted authority")
        self._check_signature(request, leaf)
        names = subject_facts(leaf)
        tenancy = names.get("opc-tenant") or names.get("opc-identity", "")
        claims = {name: value for name, value in names.items() if name != "opc-identity"}
        subject = names.get("opc-instance", tenancy)
        session_key = public_key(document.get("publicKey"))
        token = self._tokens.issue("instance", tenancy, subject, session_key, claims)
        return Response(body={"token": token})

    def _check_signature(self, request: Request, leaf: x509.Certificate) -> None:
        signature = signatures.parse(request.headers.get("authorization", ""))
        signatures.check_headers(signature, request.headers, signatures.FEDERATION, time.time())
        kind, _, fingerprint = signature.key_id.rpartition("/")
        digest = DIGESTS.get(kind.rpartition("/")[2])
        key = leaf.public_key()
        if digest is None or not isinstance(key, RSAPublicKey):
            raise denied("the key id does not name a certificate")
        if fingerprint.upper() != digest(leaf.public_bytes(Encoding.DER)).digest().hex(":").upper():
            raise denied("the fingerprint is not the certificate's")
        signed = signatures.signing_string(signature, request.method, request.target, request.headers)
        signatures.verify(signature, signed, key)
        signatures.check_body(request.headers, request.body)

    async def refresh(self, request: Request) -> Response:
        """The same session with a new end: same user, same session key."""
        claims = self._tokens.claims(str(request.document().get("currentToken", "")).strip())
        if claims["ptype"] != "user" or claims["sub"] != request.principal.subject:
            raise denied("the token is not the session's that signed")
        key = key_of(claims)
        return Response(body={"token": self._tokens.issue("user", claims["tenant"], claims["sub"], key)})

    async def workload(self, request: Request) -> Response:
        """A token for the pod whose service account token (any JWT that has not expired) came as bearer."""
        facts = self._facts
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        account = str(unverified(bearer).get("sub", "system:serviceaccount:default:default"))
        key = public_key(request.document().get("podKey"))
        claims = {"res_tenant": facts.tenancy, "res_compartment": facts.compartment}
        token = self._tokens.issue("workload", facts.tenancy, account, key, claims)
        return Response(body=base64.b64encode(json.dumps({"token": TOKEN + token}).encode()))


def _certificate(pem: object) -> x509.Certificate:
    """A certificate as the SDK sends it: PEM without its first and last line and without line ends."""
    try:
        return x509.load_der_x509_certificate(base64.b64decode(str(pem)))
    except ValueError:
        raise ServiceError(400, "InvalidParameter", "a certificate cannot be read") from None


def public_key(pem: object) -> RSAPublicKey:
    """A public key as the SDK sends it. Raises 400 ``InvalidParameter``."""
    try:
        key = load_der_public_key(base64.b64decode(str(pem)))
    except ValueError:
        raise ServiceError(400, "InvalidParameter", "the public key cannot be read") from None
    if not isinstance(key, RSAPublicKey):
        raise ServiceError(400, "InvalidParameter", "the public key is not RSA")
    return key

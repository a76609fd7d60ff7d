"""The tokens of the local OCI: JWTs that bind a principal to a session key.

The client signs its requests with that key under the key id ``ST$<token>``; the token carries the public half as
the claim ``jwk``. Source: ``oci.auth`` of the SDK, which reads ``exp``, ``iat``, ``res_tenant`` and
``res_compartment``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from jwt.algorithms import RSAAlgorithm

from keepstep_localcloud.signatures import denied
from keepstep_localcloud.wire import Principal

ISSUER = "authService.oracle.com"
LIFETIME = timedelta(hours=1)
KINDS = {"instance": "instance", "resource": "resource", "workload": "workload", "user": "session"}
"""The claim ``ptype`` and the kind of principal that it means."""


class Tokens:
    """Makes tokens, and accepts only those that it made."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self._key = key
        self._accepted: dict[str, tuple[RSAPublicKey, Principal, float]] = {}

    def issue(
        self,
        ptype: str,
        tenancy: str,
        subject: str,
        public_key: RSAPublicKey,
        claims: Mapping[str, str] | None = None,
    ) -> str:
        """A token for ``subject`` whose holder has the private half of ``public_key``."""
        now = int(time.time())
        own = {
            "iss": ISSUER,
            "sub": subject,
            "ptype": ptype,
            "tenant": tenancy,
            "iat": now,
            "exp": now + int(LIFETIME.total_seconds()),
            "jwk": RSAAlgorithm.to_jwk(public_key),
        }
        return jwt.encode({**(claims or {}), **own}, self._key, algorithm="RS256")

    def seal(self, subject: str, use: str) -> str:
        """A statement about ``subject`` that only its issuer reads: no session comes with it."""
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": subject, "use": use, "iat": now, "exp": now + 600}
        return jwt.encode(claims, self._key, algorithm="RS256")

    def sealed(self, token: str, use: str) -> str:
        """The subject of such a statement. Raises 401 when it is not ours, or for another use."""
        claims = self.claims(token)
        if claims.get("use") != use:
            raise denied(f"this is no {use}")
        return str(claims["sub"])

    def accept(self, token: str, now: float) -> tuple[RSAPublicKey, Principal]:
        """The session key in the token and whom it speaks for. Raises 401 when it is not ours or has expired."""
        if token not in self._accepted:
            claims = self.claims(token)
            if claims.get("ptype") not in KINDS:
                raise denied("the token is not a session's")
            principal = Principal(claims["tenant"], claims["sub"], KINDS[claims["ptype"]])
            self._accepted[token] = key_of(claims), principal, float(claims["exp"])
        key, principal, expires = self._accepted[token]
        if now >= expires:
            del self._accepted[token]
            raise denied("the token has expired")
        return key, principal

    def claims(self, token: str) -> dict[str, Any]:
        """What a token of ours says. Raises 401 for any other, and for an expired one."""
        try:
            claims: dict[str, Any] = jwt.decode(token, self._key.public_key(), algorithms=["RS256"], issuer=ISSUER)
        except jwt.PyJWTError as exc:
            raise denied(f"the token is not accepted: {exc}") from None
        return claims


def key_of(claims: Mapping[str, Any]) -> RSAPublicKey:
    """The public key that a token of ours carries."""
    key = RSAAlgorithm.from_jwk(claims["jwk"])
    assert isinstance(key, RSAPublicKey)
    return key


def unverified(token: str) -> dict[str, Any]:
    """What another issuer's token says. Raises 401 when it is not a token or has expired."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False, "verify_exp": True})
    except jwt.PyJWTError as exc:
        raise denied(f"the token is not accepted: {exc}") from None
    return claims

"""Which public key belongs to a key id, and whom it speaks for."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from keepstep_localcloud.identity import Identity
from keepstep_localcloud.signatures import denied
from keepstep_localcloud.tokens import KINDS, Tokens, unverified
from keepstep_localcloud.wire import Principal, ServiceError

TOKEN = "ST$"  # noqa: S105  the prefix of a key id, not a secret


class KeyRing:
    """The registered API key, the function's own key, and every token that was issued here.

    ``any_key``: a key that is not known is accepted; its signature cannot be verified, and is not.
    """

    def __init__(self, identity: Identity, tokens: Tokens, *, any_key: bool = False) -> None:
        facts = identity.facts
        self._tokens = tokens
        self._any_key = any_key
        self._registered = {
            f"{facts.tenancy}/{facts.user}/{identity.fingerprint}": (
                identity.key("api_key").public_key(),
                Principal(facts.tenancy, facts.user, "api_key"),
            )
        }
        # The function's own key, in the versions of resource principals that have one.
        resource = f"{facts.tenancy}/{facts.function}"
        known = identity.key("function_key").public_key(), Principal(facts.tenancy, facts.function, "resource_key")
        for key_id in (f"v2.1/{facts.function}", f"v2.1.1/{resource}", f"v2.1.2/{resource}"):
            self._registered[f"resource/{key_id}"] = known

    def find(self, key_id: str, now: float) -> tuple[RSAPublicKey | None, Principal]:
        """The key to verify with (None: accept unverified) and its principal. Raises 401 for an unknown key."""
        known = self._registered.get(key_id)
        if known:
            return known
        try:
            if key_id.startswith(TOKEN):
                return self._tokens.accept(key_id.removeprefix(TOKEN), now)
        except ServiceError:
            if not self._any_key:
                raise
        if not self._any_key:
            raise denied("the key is not registered")
        return None, _stranger(key_id)


def _stranger(key_id: str) -> Principal:
    """Whom the key id, or the token in it, claims to be."""
    if key_id.startswith(TOKEN):
        claims = unverified(key_id.removeprefix(TOKEN))
        kind = KINDS.get(str(claims.get("ptype")), "session")
        return Principal(str(claims.get("tenant", "")), str(claims.get("sub", "")), kind)
    tenancy, _, rest = key_id.partition("/")
    return Principal(tenancy, rest.partition("/")[0], "api_key")

"""OCI's session tokens as text: when they end, and how they are kept in a file."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from keepstep.clouds.document import JsonDocument
from keepstep.clouds.oci_signing import SigningKey
from keepstep.errors import ConfigError, Corrupt
from keepstep.flush import flush

_PREFIX = "ST$"
"""How a key id says that it is a token."""
_JWT = re.compile(r"[\w=-]+\.[\w=-]+\.[\w=-]*", re.ASCII)
"""What may stand in a key id: nothing here ends the quotes around it."""


def token_of(key: SigningKey) -> str:
    return key.key_id.removeprefix(_PREFIX)


@dataclass(frozen=True)
class Claims:
    """What a token says of itself; whether that is true the service decides."""

    ends: datetime
    """UTC."""
    tenancy: str
    """OCID of the resource's tenancy; empty where the token names none."""
    subject: str


def claims_of(token: str) -> Claims | None:
    """Of a JWT (RFC 7519), whose signature is not looked at; None when it is none, or says no end."""
    if not _JWT.fullmatch(token):
        return None
    payload = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        ends = datetime.fromtimestamp(claims["exp"], UTC)
    except (LookupError, ValueError, TypeError, OverflowError, OSError, RecursionError):
        return None
    tenancy, subject = (claims.get(name) for name in ("res_tenant", "sub"))
    return Claims(ends, *(text if isinstance(text, str) else "" for text in (tenancy, subject)))


def session_key_of(
    answer: JsonDocument, private_key: RSAPrivateKey, name: str, *, region: str = "", tenancy: str = ""
) -> SigningKey:
    """The key of a session whose token a service answered with. Raises :class:`Corrupt` when it did not."""
    token = answer.text("token").removeprefix(_PREFIX)
    if (claims := claims_of(token)) is None:
        raise Corrupt(f"the {name}: the answer's token is none")
    return SigningKey(_PREFIX + token, private_key, tenancy or claims.tenancy, region, claims.ends)


def expiry(token: str, name: str) -> datetime:
    """When a JWT ends, UTC. ``name`` is where it came from.

    Raises :class:`ConfigError` when it is not a JWT or says no end.
    """
    if (claims := claims_of(token)) is None:
        raise ConfigError(f"{name} holds no session token", hint="a token has three parts with dots between")
    return claims.ends


def write_token(path: str, token: str) -> None:
    """Replaces the file whole, with mode 0600 and the owner it had. After an ``OSError`` nothing is left behind."""
    path = os.path.realpath(path)
    before = os.stat(path)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".token-")
    try:
        with os.fdopen(descriptor, "w") as file:
            if os.geteuid() == 0:
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.write(token)
            file.flush()
            flush(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise

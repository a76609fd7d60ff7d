"""OCI's session tokens as text: when they end, and how they are kept in a file."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
from datetime import UTC, datetime

from keepstep.clouds.oci_signing import SigningKey
from keepstep.errors import ConfigError
from keepstep.flush import flush


def token_of(key: SigningKey) -> str:
    return key.key_id.removeprefix("ST$")


def expiry(token: str, name: str) -> datetime:
    """When a JWT ends, UTC; its signature is for the service to check. ``name`` is where it came from.

    Raises :class:`ConfigError` when it is no JWT or says no end.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (LookupError, ValueError, TypeError, OverflowError):
        # not "from exc": the decoder's error holds the token
        raise ConfigError(
            f"{name} holds no session token", hint="a token has three parts with dots between"
        ) from None


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

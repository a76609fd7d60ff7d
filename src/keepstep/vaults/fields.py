"""One field of a JSON secret, as an address names it with ``#field``."""

from __future__ import annotations

import json

from keepstep.errors import ConfigError
from keepstep.vaults.address import SecretAddress


def field_of(content: bytes, address: SecretAddress) -> bytes:
    """The field that the address names, the whole where it names none.

    Text comes as it is, numbers, truth values and objects as JSON writes them. Raises :class:`ConfigError`.
    """
    if not address.field:
        return content
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ConfigError(f"{address}: the secret is no JSON object, so it has no fields", hint="leave out the #")
    if address.field not in document:
        raise ConfigError(f"{address}: the secret has no such field")
    return text_of(document[address.field]).encode("utf-8", "surrogatepass")


def text_of(value: object) -> str:
    """A JSON value as it stands in a file."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)

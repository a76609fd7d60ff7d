"""From what a vault holds to what a file holds: one field of a JSON secret, and what is encoded as text."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from keepstep.errors import ConfigError
from keepstep.secrets.delivery import Values, key_of
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.fields import field_of


@dataclass(frozen=True, slots=True)
class Whole:
    """A secret, or its field, as it is; ``encoding`` says what its text stands for (see :data:`ENCODINGS`)."""

    address: SecretAddress
    encoding: str = "raw"

    @property
    def sources(self) -> tuple[SecretAddress, ...]:
        return (self.address,)

    def render(self, values: Values) -> bytes:
        content = field_of(values[key_of(self.address)].content.reveal_bytes(), self.address)
        try:
            return ENCODINGS[self.encoding](content)
        except ValueError:
            # not "from exc": the decoders quote what they cannot decode
            raise ConfigError(f"{self.address} is not {self.encoding}") from None


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "base64": lambda text: base64.b64decode(b"".join(text.split()), validate=True),
    "hex": lambda text: bytes.fromhex(text.decode("ascii")),
}
"""How a secret that is text stands for bytes; ``raw`` leaves it as it is."""

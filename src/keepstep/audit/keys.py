"""The keys of an audit log: the newest version of one secret signs, and every version that is left verifies.

Rotating the key is putting a new version of the secret. Entries name the key that signed them; a log changes from
one key to the next and never back, and the vault tells when a key's time was over, so a key that leaked after its
time signs nothing that would be believed.
"""

from __future__ import annotations

from datetime import datetime

from keepstep.audit.entry import AuditKey
from keepstep.errors import ConfigError, NotFound
from keepstep.secret import Secret
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.fields import field_of
from keepstep.vaults.interface import SecretValue, Vault


class Keyring:
    """Every key that may have signed, asked of the vault when an entry names it."""

    def __init__(self, vault: Vault, address: SecretAddress) -> None:
        self.address = address
        self._vault = vault
        self._known: dict[str, AuditKey] = {}
        self._ended: dict[str, datetime] = {}
        self._is_complete = False
        self.newest = ""
        """Id of the key that signs now; empty before it was asked for."""

    async def current(self) -> AuditKey:
        """The key that signs new entries, fetched again. Raises what the vault raises, and :class:`ConfigError`."""
        key = _key(await self._vault.get(self.address.name), self.address)
        self._known[key.id] = key
        self.newest = key.id
        return key

    def ended(self, key_id: str) -> datetime | None:
        """When the vault got the version after that key's; None for the newest key, and where it does not tell."""
        return self._ended.get(key_id)

    async def get(self, key_id: str) -> AuditKey | None:
        """None when no version of the secret is the key with this id."""
        if not self.newest:
            await self.current()
        if key_id not in self._known and not self._is_complete:
            await self._read_all()
        return self._known.get(key_id)

    async def _read_all(self) -> None:
        followed: datetime | None = None
        for version in await self._vault.versions(self.address.name):
            ended, followed = followed, version.created or followed
            try:
                key = _key(await self._vault.get(self.address.name, version.id), self.address)
            except (ConfigError, NotFound):
                continue  # a version that cannot be obtained is not a key: the entries that name it will say so
            if ended and key.id != self.newest and key.id not in self._ended:
                self._ended[key.id] = ended
            self._known[key.id] = key
        self._is_complete = True


def _key(value: SecretValue, address: SecretAddress) -> AuditKey:
    content = field_of(value.content.reveal_bytes(), address)
    if not content:
        raise ConfigError(f"{address}: an empty secret signs nothing", hint="openssl rand -hex 32 makes a good one")
    return AuditKey(Secret(content))

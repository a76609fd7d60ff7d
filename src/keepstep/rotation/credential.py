"""What a rotation stores: a username, a password and the generation, in a JSON secret with whatever else is in it.

    {"schema": 1, "gen": 7, "username": "app_a", "password": "…", "host": "db.example.com"}

``gen`` rises by one with every version that is staged; a secret without it, written by another tool, is of
generation 0. Other fields are carried over from version to version, separately in each store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keepstep.databases.interface import Login
from keepstep.errors import ConfigError
from keepstep.secret import Secret

SCHEMA = 1
_CLONE = "_clone"
_PAIR = {"_a": "_b", "_b": "_a"}


@dataclass(frozen=True, slots=True)
class Credential:
    """Two are the same when generation, username and password are."""

    gen: int
    username: str
    password: Secret = field(repr=False)

    @property
    def login(self) -> Login:
        return Login(self.username, self.password)


@dataclass(frozen=True, slots=True)
class Payload:
    """A credential, and the other fields of the secret that it stands in."""

    credential: Credential
    others: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def with_credential(self, credential: Credential) -> Payload:
        """The secret's next version: the same fields around another credential."""
        return Payload(credential, self.others)

    def content(self) -> Secret:
        """JSON in UTF-8; the same payload always makes the same bytes."""
        ours = {
            "schema": SCHEMA,
            "gen": self.credential.gen,
            "username": self.credential.username,
            "password": self.credential.password.reveal(),
        }
        return Secret(json.dumps({**ours, **self.others}, ensure_ascii=False, separators=(",", ":")))


def read_payload(content: Secret, name: str) -> Payload:
    """Raises :class:`ConfigError` that names the secret and the field, never a value."""
    fields = _object(content, name)
    schema, gen = fields.pop("schema", SCHEMA), fields.pop("gen", 0)
    if schema != SCHEMA:
        raise ConfigError(f"{name}: its schema is not {SCHEMA}", hint="a newer keepstep wrote it: use that one")
    if type(gen) is not int or gen < 0:
        raise ConfigError(f"{name}: gen is not a whole number from 0")
    username, password = (_text(fields, key, name) for key in ("username", "password"))
    return Payload(Credential(gen, username, Secret(password)), fields)


def partner(username: str) -> str:
    """The other user of an alternating pair: ``u_a`` and ``u_b``; any other ``u`` and ``u_clone``."""
    if username[-2:] in _PAIR:
        return username[:-2] + _PAIR[username[-2:]]
    return username.removesuffix(_CLONE) if username.endswith(_CLONE) else username + _CLONE


def is_pair(username: str) -> bool:
    """Whether the user's partner has it as partner, without which two users would become three."""
    other = partner(username)
    return bool(other) and partner(other) == username


def _object(content: Secret, name: str) -> dict[str, Any]:
    try:
        fields = json.loads(content.reveal_bytes())
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        # not "from exc": the text would be in the traceback
        raise ConfigError(f"{name} is not a JSON object", hint='it should hold {"username": …, "password": …}')
    return fields


def _text(fields: dict[str, Any], key: str, name: str) -> str:
    value = fields.pop(key, None)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name}: the field {key} is missing or no text")
    return value

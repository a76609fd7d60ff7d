"""One record of the audit log: canonical JSON, chained to the one before it and signed.

An entry's bytes are its JSON with sorted keys, no spaces, UTF-8 and nothing escaped that need not be: for what may
stand in it (text, whole numbers, true, false, null, lists, tables) the canonical form of RFC 8785. ``mac`` is the
HMAC-SHA256, in hex, of those bytes without the field ``mac``; ``previous`` is the SHA-256 of all the bytes of the
entry before, and of nothing for the first. The first entry under a new key has a field ``former``: the MAC, by the
key before, of the bytes without ``former`` and ``mac``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from keepstep.errors import Corrupt
from keepstep.secret import Secret

FORMAT = 1
GENESIS = hashlib.sha256(b"").hexdigest()
"""What stands where the hash of an earlier entry would."""

_LARGEST = 2**53 - 1
"""Whole numbers up to this one mean the same to every reader of JSON (RFC 8785 section 3.2.2.3)."""


class AuditKey:
    """What entries are signed with. Its id is made from it and says nothing about it."""

    def __init__(self, value: Secret) -> None:
        self._value = value
        self.id = self.sign(b"keepstep audit key id")[:16]

    def sign(self, message: bytes) -> str:
        """HMAC-SHA256 (RFC 2104), in hex."""
        return hmac.new(self._value.reveal_bytes(), message, hashlib.sha256).hexdigest()

    def has_signed(self, message: bytes, mac: str) -> bool:
        return hmac.compare_digest(self.sign(message).encode(), mac.encode())

    def __repr__(self) -> str:
        return f"AuditKey(id={self.id!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry as it is stored."""

    chain: str
    """Name of the log that it belongs to: the job's. An entry of one log is worth nothing in another."""
    sequence: int
    """From 1, without gaps."""
    previous: str
    time: datetime
    """Aware, UTC, whole microseconds."""
    kind: str
    """``intent`` before the first change, ``result`` after the last, ``observed`` for a result made up later."""
    facts: Mapping[str, Any]
    """Who, what, where, with which outcome; no secret."""
    nonce: str
    """Tells two writers' entries apart where all else is equal."""
    key: str
    """Id of the key that signed it."""
    former: str = ""
    """The first entry under another key carries the signature of the key before, too."""
    mac: str = ""
    data: bytes = field(default=b"", repr=False)
    """All of its bytes, as they are stored."""

    @property
    def hash(self) -> str:
        """SHA-256 in hex: what the next entry's ``previous`` says."""
        return hashlib.sha256(self.data).hexdigest()


def canonical(value: Mapping[str, Any]) -> bytes:
    """The one way to write this table. Raises ``TypeError`` or ``ValueError`` for what has no such form."""
    return json.dumps(_ordered(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sign(unsigned: AuditEntry, key: AuditKey, former: AuditKey | None = None) -> AuditEntry:
    """The entry with its MAC and its bytes; a change of keys is signed by the ``former`` one as well."""
    fields = _fields(unsigned) | {"key": key.id}
    if former:
        fields |= {"former": former.sign(canonical(fields))}
    mac = key.sign(canonical(fields))
    return read(canonical(fields | {"mac": mac}))


def read(data: bytes) -> AuditEntry:
    """The entry that these bytes are. Raises :class:`Corrupt` when they are none, or not written canonically."""
    try:
        fields = json.loads(data)
        entry = _entry(fields, data)
        if canonical(_fields(entry) | {"mac": entry.mac}) == data:
            return entry
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise Corrupt("it is not an entry of an audit log") from exc
    raise Corrupt("it is not written as keepstep writes entries")


def is_signed_by(entry: AuditEntry, key: AuditKey) -> bool:
    """Whether it was this key that signed these bytes."""
    return key.has_signed(canonical(_fields(entry)), entry.mac)


def is_handed_over_by(entry: AuditEntry, former: AuditKey) -> bool:
    """Whether the key before signed that another one follows it."""
    fields = _fields(entry)
    return former.has_signed(canonical({name: fields[name] for name in fields if name != "former"}), entry.former)


def _fields(entry: AuditEntry) -> dict[str, Any]:
    former = {"former": entry.former} if entry.former else {}
    return former | {
        "format": FORMAT,
        "chain": entry.chain,
        "sequence": entry.sequence,
        "previous": entry.previous,
        "time": entry.time.astimezone(UTC).isoformat(timespec="microseconds"),
        "kind": entry.kind,
        "facts": dict(entry.facts),
        "nonce": entry.nonce,
        "key": entry.key,
    }


def _entry(fields: dict[str, Any], data: bytes) -> AuditEntry:
    if type(fields["sequence"]) is not int or fields["format"] != FORMAT:
        raise ValueError("another format")
    texts = {name: fields[name] for name in ("chain", "previous", "kind", "nonce", "key", "mac")}
    texts["former"] = fields.get("former", "")
    if not all(isinstance(text, str) for text in texts.values()):
        raise TypeError("no text")
    time = datetime.fromisoformat(fields["time"])
    return AuditEntry(sequence=fields["sequence"], time=time, facts=dict(fields["facts"]), data=data, **texts)


def _ordered(value: Any) -> Any:
    """The value with its tables sorted by UTF-16 code units (RFC 8785 section 3.2.3)."""
    match value:
        case None | bool() | str():
            return value
        case int() if abs(value) <= _LARGEST:
            return value
        case list() | tuple():
            return [_ordered(inner) for inner in value]
        case Mapping():
            names = sorted(value, key=lambda name: name.encode("utf-16-be"))
            return {name: _ordered(value[name]) for name in names}
        case _:
            raise TypeError(f"an audit entry cannot hold {type(value).__name__}")

"""Answers in JSON, read field by field: whatever is not what the API promises is an error that names the field.

What a server sends is checked here, at the edge, and nowhere else. No error repeats a value: the answer may hold a
secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from keepstep.errors import Corrupt

_MOST_DIGITS = 18
"""No whole number of an API has more."""
_MOST_SHOWN = 300
"""Characters of a server's own words that an error repeats."""


class JsonDocument:
    """One object of an answer. ``what`` names the thing that was asked for.

    Every reader raises :class:`Corrupt`; repeating the request is safe, and helps where a proxy answered.
    """

    def __init__(self, fields: object, what: str) -> None:
        if not isinstance(fields, Mapping):
            raise Corrupt(f"{what}: the answer is not a JSON object (a proxy?)")
        self._fields = fields
        self.what = what

    def __contains__(self, name: str) -> bool:
        """Whether the field is there, and not null."""
        return self._fields.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """Text that UTF-8 can hold; without a default it has to be there."""
        value = self._value(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "text")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise self._wrong(name, "text: it holds half of a character")
        return value

    def data(self, name: str) -> bytes:
        """Bytes, as an SDK has decoded them."""
        value = self._value(name, None)
        if not isinstance(value, bytes):
            raise self._wrong(name, "data")
        return value

    def whole(self, name: str) -> int:
        """A whole number, 0 or more."""
        value = self._value(name, None)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**_MOST_DIGITS:
            raise self._wrong(name, "a whole number")
        return value

    def flag(self, name: str) -> bool:
        """A truth value; false where it is missing."""
        value = self._value(name, False)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; empty where it is missing."""
        values = self._value(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self._wrong(name, "a list of texts")
        return tuple(values)

    def moment(self, name: str) -> datetime | None:
        """An aware time, from text as RFC 3339 has it or from what an SDK has read; None where it is missing."""
        value = self._value(name, "")
        try:
            time = value if isinstance(value, datetime) else datetime.fromisoformat(value) if value else None
        except (TypeError, ValueError):
            raise self._wrong(name, "a time") from None
        return time.replace(tzinfo=UTC) if time and not time.tzinfo else time

    def inner(self, name: str) -> JsonDocument:
        """An object within this one; empty where it is missing."""
        value = self._value(name, {})
        if not isinstance(value, Mapping):
            raise self._wrong(name, "an object")
        return JsonDocument(value, self.what)

    def listed(self, name: str, *, is_required: bool = False) -> list[JsonDocument]:
        """A list of objects; empty where it is missing, unless it is required."""
        return _all_of(self._value(name, None if is_required else []), self.what, name)

    def names(self) -> list[str]:
        return list(self._fields)

    def _value(self, name: str, default: Any) -> Any:
        value = self._fields.get(name)
        return default if value is None else value

    def _wrong(self, name: str, wanted: str) -> Corrupt:
        why = f"has a {name} that is not {wanted}" if name in self else f"has no {name}"
        return Corrupt(f"{self.what}: the answer {why}")


def document_in(body: bytes | bytearray, what: str) -> JsonDocument:
    """The object that a body is. Raises :class:`Corrupt`."""
    return JsonDocument(_parsed(body, what), what)


def documents_in(body: bytes | bytearray, what: str) -> list[JsonDocument]:
    """The list of objects that a body is. Raises :class:`Corrupt`."""
    return _all_of(_parsed(body, what), what, "")


def _all_of(values: object, what: str, name: str) -> list[JsonDocument]:
    if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
        raise Corrupt(f"{what}: the answer" + (f"'s {name}" if name else "") + " is not a list of objects")
    return [JsonDocument(value, what) for value in values]


def _parsed(body: bytes | bytearray, what: str) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        # not "from exc", which quotes what it could not read
        raise Corrupt(f"{what}: the answer is not JSON (a proxy?)") from None


def shortened(text: str) -> str:
    """A server's own words, as far as an error repeats them."""
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"

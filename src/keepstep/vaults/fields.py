"""The JSON of a secret, and one field of it, as an address names it with ``#field``."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from keepstep.errors import ConfigError
from keepstep.vaults.address import SecretAddress


class Integer(int):
    """A whole number that prints as the document writes it. Raises ``ValueError`` for thousands of digits."""

    text: str

    def __new__(cls, text: str) -> Integer:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


class Real(float):
    """A number with a fraction or an exponent that prints as the document writes it: ``1.10`` stays ``1.10``."""

    text: str

    def __new__(cls, text: str) -> Real:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


def field_of(content: bytes, address: SecretAddress) -> bytes:
    """The field that the address names, or the whole content where it names none. UTF-8.

    Text comes without quotes, numbers as the document writes them, truth values, lists and objects as JSON without
    spaces. Raises :class:`ConfigError` for everything else; ``null`` counts as missing.
    """
    if not address.field:
        return content
    document = object_in(content)
    if document is None:
        raise ConfigError(
            f"{address}: the secret is not a JSON object, so it has no fields", hint="leave out the #"
        )
    if document.get(address.field) is None:
        is_null = address.field in document
        raise ConfigError(f"{address}: " + ("the field is null" if is_null else "the secret has no such field"))
    try:
        return text_of(document[address.field]).encode()
    except (UnicodeEncodeError, RecursionError) as exc:
        why = "nested too deeply" if isinstance(exc, RecursionError) else "not text (it holds half of a character)"
        # not "from exc", which quotes the text
        raise ConfigError(f"{address}: the field is {why}") from None


def object_in(content: bytes | str) -> dict[str, Any] | None:
    """The JSON object that the content is; None when it is anything else, or nested too deeply to be read.

    Numbers are :class:`Integer` and :class:`Real`. Source: RFC 8259, to which ``NaN`` and ``Infinity`` are unknown.
    """
    try:
        found = json.loads(content, parse_int=Integer, parse_float=Real, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def text_of(value: object) -> str:
    """A value of a JSON document as it stands in a file. Raises ``RecursionError`` for one nested too deeply."""
    return value if isinstance(value, str) else _json(value)


def _json(value: object) -> str:
    if isinstance(value, Integer | Real):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json(name)}:{_json(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)

"""A value that must not be shown: it prints as stars, and only :meth:`Secret.reveal` returns it."""

from __future__ import annotations

import hmac
from typing import NoReturn


class Secret:
    """Holds text or bytes that may only be sent to a server or written to a file of the user.

    ``repr``, ``str``, ``format`` and ``%``-formatting show ``***``; pickling and copying into JSON fail.
    Comparison takes constant time.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> str:
        """The value as text. Raises ``UnicodeDecodeError`` if it is not UTF-8."""
        return self._value.decode()

    def reveal_bytes(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")

    __reduce_ex__ = __reduce__  # type: ignore[assignment]

"""Parses the address that the status page is served on."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Listen:
    """Parses ``host:port``. An IPv6 address is in brackets; port 0 picks a free port."""

    host: str
    """Without brackets."""
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Raises ``ValueError``."""
        found = _FORM.fullmatch(text)
        if not found or int(found["port"]) > 65535:
            raise ValueError(
                f"{text!r} is not an address to listen on; write host:port, for example 127.0.0.1:8731"
            )
        return cls(found["host"].strip("[]"), int(found["port"]))

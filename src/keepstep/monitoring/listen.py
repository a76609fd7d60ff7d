"""The address that the status page is served at."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Listen:
    """``host:port``; an IPv6 address stands in brackets, port 0 is any free one."""

    host: str
    """Without brackets."""
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Raises ``ValueError``."""
        found = _FORM.fullmatch(text)
        if not found or int(found["port"]) > 65535:
            raise ValueError(f"{text!r} is not an address to listen at; write host:port, such as 127.0.0.1:8731")
        return cls(found["host"].strip("[]"), int(found["port"]))

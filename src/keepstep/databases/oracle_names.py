"""Oracle's names, quoted; its dictionary keeps those in capitals that are not."""

from __future__ import annotations

import re

from keepstep.errors import ConfigError

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_$#]{0,127}")


def canonical(username: str) -> str:
    """As the dictionary has it: ``app`` is ``APP``, ``"app"`` is ``app``. Raises :class:`ConfigError`."""
    if _PLAIN.fullmatch(username):
        return username.upper()
    inner = username.removeprefix('"').removesuffix('"')
    if not inner or '"' in inner or "\0" in inner or len(inner.encode()) > 128:
        raise ConfigError(
            "no user of Oracle can have this name", hint="it has 1 to 128 bytes and no quotation mark"
        )
    return inner


def identifier(username: str) -> str:
    return f'"{canonical(username)}"'


def text(value: str) -> str:
    """A literal."""
    return "'" + value.replace("'", "''") + "'"

"""Values in environment files, quoted so that anybody who reads the file gets them back.

Shells, systemd (``EnvironmentFile=``), Docker Compose and python-dotenv share the syntax and differ in what they do
with backslashes, dollars and quotes. A value is written in single quotes where its readers take those literally,
else in double quotes with the escapes that they share; where no quoting serves all of them it is refused.

Sources: POSIX.1-2024, Shell Command Language, 2.2; systemd.exec(5) and ``env-file.c``; compose-go's
``dotenv/parser.go``; python-dotenv's ``parser.py`` and ``variables.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple


class _Reader(NamedTuple):
    """How one reader takes quoted values."""

    is_literal: Callable[[str], bool]
    """Whether a value without ``'`` comes back from single quotes."""
    escaped: str
    """What has to be escaped by a backslash within double quotes; a backslash before anything else of
    :data:`_SPECIAL` would be kept."""
    is_holdable: Callable[[str], bool] = lambda text: True
    """Whether a value can be obtained from this reader at all."""


_SPECIAL = '\\"$`'
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_EXPANDED = re.compile(r"\$\{[^}]*\}")

READERS = {
    "shell": _Reader(lambda text: True, '\\"$`'),
    "systemd": _Reader(lambda text: True, '\\"$`', lambda text: not _CONTROL.search(text)),
    "compose": _Reader(lambda text: not text.endswith("\\"), '\\"$', lambda text: "\r" not in text),
    # It unescapes \\ and \' within single quotes, and expands ${NAME} within any, after unquoting.
    "python": _Reader(
        lambda text: "\\\\" not in text and not text.endswith("\\"),
        '\\"',
        lambda text: not _EXPANDED.search(text) and "\r" not in text,
    ),
}
"""By the name that the filter takes."""


def quoted(text: str, readers: Iterable[str] = READERS) -> str:
    """The value for a file that these readers share. Raises ``ValueError``, which never quotes the value."""
    wanted = [READERS[name] for name in readers]
    if "\0" in text:
        raise ValueError("a value holds a NUL, which no environment variable can")
    if not all(reader.is_holdable(text) for reader in wanted):
        raise ValueError("a value holds what a reader of the file expands or refuses, whatever the quotes")
    if "'" not in text and all(reader.is_literal(text) for reader in wanted):
        return f"'{text}'"
    present = {character for character in _SPECIAL if character in text}
    if len({frozenset(present & set(reader.escaped)) for reader in wanted}) > 1:
        raise ValueError("a value holds characters that the readers of the file quote differently")
    escaped = present & set(wanted[0].escaped)
    return '"' + "".join(f"\\{character}" if character in escaped else character for character in text) + '"'

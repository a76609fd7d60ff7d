"""Text that others chose (names of objects, servers' messages), made fit to be shown to people.

It stays what it is for the eye and does nothing: no line break begins a line of its own, no escape moves a cursor,
no bidirectional mark turns words round, nothing is endless.
"""

from __future__ import annotations

import unicodedata

LONGEST = 500
"""Characters of one text on a screen."""
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode's categories of what has no look: control and format characters, surrogates, line separators."""


def shown(text: object, limit: int = LONGEST) -> str:
    """One line, what is invisible escaped as Python writes it, shortened in the middle.

    A tab, and a zero-width joiner within words of scripts that need it, are escaped too: names are compared by eye.
    """
    whole = str(text)
    if len(whole) > limit:
        half = (limit - 20) // 2
        left_out = len(whole) - 2 * half
        whole = f"{whole[:half]} … {left_out} more … {whole[-half:]}"
    if whole.isascii() and whole.isprintable():
        return whole
    return "".join(map(_escaped, whole))


def shown_lines(text: object, limit: int = LONGEST) -> list[str]:
    """As :func:`shown`, line by line, for text of our own that holds text of others."""
    return [shown(line, limit) for line in str(text).split("\n")]


def _escaped(letter: str) -> str:
    if unicodedata.category(letter) not in _HIDDEN:
        return letter
    number = ord(letter)
    if letter in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[letter]
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"

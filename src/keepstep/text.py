"""Makes names and messages chosen by others safe to show: on a terminal, in a log, in a report.

An object can have any name, and servers repeat names in their messages. Shown unescaped, a name could start a line
that looks like one of keepstep, move the cursor, or reverse text (Unicode Technical Report 36, 2.5).
"""

from __future__ import annotations

LONGEST = 500
"""Maximum characters of one text on a screen."""
_INDENTED = "\n  "
"""A line break after which text is indented, so that it cannot look like a message."""


def printable(text: str) -> str:
    """Returns one line: line breaks, control and format characters and invalid bytes are escaped as bytes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def printable_lines(text: str) -> str:
    """Like :func:`printable`, for trusted text that may continue in indented lines."""
    return _INDENTED.join(map(printable, text.split(_INDENTED)))


def shown(text: object, limit: int = LONGEST) -> str:
    """Like :func:`printable`, shortened in the middle: a server's message may be a megabyte."""
    whole = str(text)
    if len(whole) > limit:
        half = (limit - 20) // 2
        whole = f"{whole[:half]} … {len(whole) - 2 * half} more … {whole[-half:]}"
    return printable(whole)


def _escaped(character: str) -> str:
    if character.isascii():
        return f"\\x{ord(character):02x}"
    if "\ud800" <= character < "\udc80" or "\udcff" < character <= "\udfff":
        return f"\\u{ord(character):04x}"  # a lone surrogate, which has no bytes
    return character.encode("utf-8", "surrogateescape").decode("ascii", "backslashreplace")

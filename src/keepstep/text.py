"""Names and messages that others chose, as they can be shown: on a terminal, in a log, in a report's lines.

An object can be called anything, and servers repeat names in their messages. Shown as it is, such a name could
begin a line that looks like ours, move the cursor, or turn words round (Unicode Technical Report 36, 2.5).
"""

from __future__ import annotations

LONGEST = 500
"""Characters of one text on a screen."""
_INDENTED = "\n  "
"""A line break that cannot be taken for the beginning of a message."""


def printable(text: str) -> str:
    """One line: line breaks, control and format characters, and bytes that are no text, are escaped as bytes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def printable_lines(text: str) -> str:
    """As :func:`printable`, for text of ours that may go on in indented lines."""
    return _INDENTED.join(map(printable, text.split(_INDENTED)))


def shown(text: object, limit: int = LONGEST) -> str:
    """As :func:`printable`, shortened in the middle: a server's message may be a megabyte."""
    whole = str(text)
    if len(whole) > limit:
        half = (limit - 20) // 2
        whole = f"{whole[:half]} … {len(whole) - 2 * half} more … {whole[-half:]}"
    return printable(whole)


def _escaped(character: str) -> str:
    if character.isascii():
        return f"\\x{ord(character):02x}"
    if "\ud800" <= character < "\udc80" or "\udcff" < character <= "\udfff":
        return f"\\u{ord(character):04x}"  # half of a character, which is no bytes
    return character.encode("utf-8", "surrogateescape").decode("ascii", "backslashreplace")

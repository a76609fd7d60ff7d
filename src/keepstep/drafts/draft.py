"""A keepstep.toml that is being written, with its comments.

TOML is read by the standard library. To write it takes the quoting of one kind of string, which is here; the layout
and the comments are the draft's own either way, so that a library for writing would add nothing but a dependency.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from textwrap import wrap

from keepstep.config import literal
from keepstep.errors import ConfigError
from keepstep.text import printable

Value = str | bool | int | float | Sequence[str] | Mapping[str, str]

_WIDTH = 100
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_DURATION = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


class Draft:
    """Tables, settings and comments in the order in which they are added."""

    def __init__(self, origin: str) -> None:
        """``origin`` says in the first line what it was made from."""
        self._lines: list[str] = []
        self.steps: list[str] = []
        """What is left to do before the first run, in sentences."""
        self.ignored: list[str] = []
        """What has no counterpart, each with the reason."""
        self.called: dict[str, str] = {}
        """What the user calls a key of the file."""
        self._origin = origin

    def table(self, *path: str, is_array: bool = False, comment: str = "") -> None:
        """Begins a table, with a comment above it."""
        self._lines.append("")
        if comment:
            self.comment(comment)
        name = ".".join(_key(part) for part in path)
        self._lines.append(f"[[{name}]]" if is_array else f"[{name}]")

    def set(self, key: str, value: Value | None, comment: str = "", *, called: str = "") -> None:
        """One setting; nothing where the value is None. ``called`` is what its user knows it as.

        The setting has exactly this value: ``${NAME}`` in it stands for itself.
        """
        if value is None:
            return
        line = f"{_key(key)} = {_value(value, called or key)}"
        self._lines.append(f"{line.ljust(36)} # {_words(comment)}" if comment else line)

    def off(self, line: str) -> None:
        """A line of TOML that is commented out."""
        self._lines.append(f"# {_words(line)}")

    def comment(self, text: str) -> None:
        """A paragraph."""
        self._lines += _paragraph(text)

    def example(self, title: str, lines: Sequence[str]) -> None:
        """A table that is commented out."""
        self._lines.append("")
        self.comment(title)
        for line in lines:
            self.off(line)

    @property
    def text(self) -> str:
        """The whole file."""
        head = [f"# keepstep.toml, written by keepstep init from {_words(self._origin)}."]
        head += _paragraph("Every key is in docs/configuration.md; keepstep config check finds mistakes.")
        for title, texts in (("Left to do", self.steps), ("Without a counterpart here", self.ignored)):
            if texts:
                head += ["#", f"# {title}:"]
                head += [line for text in texts for line in _paragraph(text, "- ")]
        return "\n".join([*head, *self._lines, ""])


def duration(seconds: float) -> str | float:
    """As keepstep.toml has it, and exactly so."""
    for size, unit in _DURATION:
        if seconds and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return seconds


def _paragraph(text: str, bullet: str = "") -> list[str]:
    wrapped = wrap(
        _words(text),
        _WIDTH - len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
        subsequent_indent=" " * len(bullet),
    )
    return [f"# {bullet if not number else ''}{line}" for number, line in enumerate(wrapped)]


def _words(text: str) -> str:
    """Names that others chose begin no line of the file."""
    return printable(text)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name, "a name")


def _value(value: Value, called: str) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _string(literal(value), called)
        case Mapping():
            return "{ " + ", ".join(f"{_key(key)} = {_value(inner, called)}" for key, inner in value.items()) + " }"
        case _:
            return "[" + ", ".join(_value(inner, called) for inner in value) + "]"


def _string(text: str, called: str) -> str:
    """A basic string of TOML, which JSON's strings are but for DEL (TOML 1.0, "String").

    Raises :class:`ConfigError` for text that is not UTF-8, as variables can be.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{called} is not UTF-8, and TOML is", hint="give it another value") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

"""Variable definitions of OpenTofu and Terraform, as far as people write them by hand: a small, strict reader.

Texts, heredocs, numbers, booleans, null, lists and objects, with comments. What it does not understand it refuses
by line, so it never guesses; python-hcl2 would be a dependency, with a parser generator, for twenty lines of text.
Source: "HCL Native Syntax Specification" and "Variable Definitions (.tfvars) Files" of Terraform's documentation.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from keepstep.errors import ConfigError

_LARGEST = 1 << 20
_DEEPEST = 50
_SPACE = re.compile(r"(?:[ \t\r]|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_LINES = re.compile(r"(?:[ \t\r\n]|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NAME = re.compile(r"[^\W\d][\w-]*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])")
_HEREDOC = re.compile(r"<<(-?)([^\W\d][\w-]*)\r?\n")
_PLAIN = re.compile(r'[^"\\\n$%]+')
_ESCAPE = re.compile(r'\\(?:([nrt"\\])|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))')
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_WORDS = {"true": True, "false": False, "null": None}
_HINT = "values are texts, numbers, true, false, null, lists and objects; write other expressions out"


def read_tfvars(path: Path) -> dict[str, Any]:
    """Each variable with its value.

    Raises :class:`ConfigError` with the line, and without its text, which may be secret.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}", hint="name the file of variables") from exc
    if len(content) > _LARGEST:
        raise ConfigError(f"{path} is larger than 1 MiB", hint="name the file of variables")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"{path} line {line}: not UTF-8", hint=_HINT) from None
    if path.name.endswith(".json"):
        return _of_json(path, text)
    return _Reader(str(path), text).variables()


def _of_json(path: Path, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is not JSON", hint="name the file of variables") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is no object of variables", hint="name the file of variables")
    return found


class _Reader:
    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text
        self._at = 0

    def variables(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._skip(_LINES)
        while self._at < len(self._text):
            name = self._take(_NAME, "the name of a variable is missing")
            if name in found:
                raise self._error(f"{name} is set twice")
            self._skip(_SPACE)
            if not self._accept("="):
                raise self._error(f"= is missing after {name}")
            self._skip(_SPACE)
            found[name] = self._value(0)
            self._skip(_SPACE)
            if self._at < len(self._text) and not self._accept("\n"):
                raise self._error(f"the value of {name} is followed by something that is not understood")
            self._skip(_LINES)
        return found

    def _value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise self._error("lists and objects are nested too deeply")
        if self._accept('"'):
            return self._string()
        if self._accept("["):
            return self._list(depth)
        if self._accept("{"):
            return self._object(depth)
        if found := _HEREDOC.match(self._text, self._at):
            return self._heredoc(found)
        if found := _NUMBER.match(self._text, self._at):
            self._at = found.end()
            return int(found[0]) if re.fullmatch(r"-?\d{1,18}", found[0]) else float(found[0])
        if (found := _NAME.match(self._text, self._at)) and found[0] in _WORDS:
            self._at = found.end()
            return _WORDS[found[0]]
        raise self._error("a value is not understood")

    def _string(self) -> str:
        parts = []
        while not self._accept('"'):
            if found := _PLAIN.match(self._text, self._at) or _ESCAPE.match(self._text, self._at):
                self._at = found.end()
                parts.append(_unescaped(found) if found[0].startswith("\\") else found[0])
            elif self._text[self._at : self._at + 1] in ("$", "%"):
                parts.append(self._marker())
            else:
                raise self._error("a text is not closed, or has an escape that is not understood")
        return "".join(parts)

    def _marker(self) -> str:
        """``$`` and ``%``, which begin templates before ``{``, and doubled stand for themselves."""
        mark = self._text[self._at]
        if self._text.startswith(f"{mark}{mark}{{", self._at):
            self._at += 3
            return f"{mark}{{"
        if self._text.startswith(f"{mark}{{", self._at):
            raise self._error("a text has a template in it")
        self._at += 1
        return mark

    def _heredoc(self, opening: re.Match[str]) -> str:
        self._at = opening.end()
        end = re.compile(rf"^[ \t]*{re.escape(opening[2])}[ \t]*\r?$", re.MULTILINE).search(self._text, self._at)
        if end is None:
            raise self._error(f"<<{opening[2]} is not closed")
        body = self._text[self._at : end.start()].replace("\r\n", "\n")
        if re.search(r"(?<![$])\$\{|(?<!%)%\{", body):
            raise self._error("a text has a template in it")
        self._at = end.end()
        if opening[1]:
            lines = body.split("\n")
            indent = min((len(line) - len(line.lstrip(" \t")) for line in lines if line.strip()), default=0)
            body = "\n".join(line[indent:] for line in lines)
        return body.replace("$${", "${").replace("%%{", "%{")

    def _list(self, depth: int) -> list[Any]:
        found = []
        self._skip(_LINES)
        while not self._accept("]"):
            found.append(self._value(depth + 1))
            self._skip(_LINES)
            if not self._accept(",") and not self._text.startswith("]", self._at):
                raise self._error("a list is not closed")
            self._skip(_LINES)
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._skip(_LINES)
        while not self._accept("}"):
            key = self._string() if self._accept('"') else self._take(_NAME, "a key of an object is not understood")
            self._skip(_SPACE)
            if not self._accept("=") and not self._accept(":"):
                raise self._error("= is missing after a key")
            self._skip(_LINES)
            found[key] = self._value(depth + 1)
            self._skip(_SPACE)
            if not self._accept(",") and not self._text.startswith(("\n", "}"), self._at):
                raise self._error("an object is not closed")
            self._skip(_LINES)
        return found

    def _take(self, pattern: re.Pattern[str], otherwise: str) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._error(otherwise)
        self._at = found.end()
        return found[0]

    def _accept(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _error(self, what: str) -> ConfigError:
        line = self._text.count("\n", 0, self._at) + 1
        return ConfigError(f"{self._name} line {line}: {what}", hint=_HINT)


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        return _ESCAPED[found[1]]
    number = int(found[2] or found[3], 16)
    return chr(number) if number < 0x110000 else "\ufffd"

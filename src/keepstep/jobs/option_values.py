"""Parses structured values of options as the AWS CLI does.

Sources: "Loading a parameter from a file" and "Using shorthand syntax" in the AWS CLI user guide.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import click

from keepstep.clouds.s3_block import size_of
from keepstep.errors import ConfigError, Misuse
from keepstep.objects.guard import Cap
from keepstep.secret import Secret
from keepstep.units import parse_duration

_PAIR = re.compile(
    r"""\s*(?P<key>[A-Za-z0-9_.\#/:-]*)\s*=\s*
        (?:(?>'(?P<single>(?:\\'|[^'])*)')|(?>"(?P<double>(?:\\"|[^"])*)")|(?P<plain>(?!['"])(?:\\,|[^,])*))
        \s*(?:,|\Z)""",
    re.VERBOSE,
)
_KEY_LENGTH = 32
"""Bytes: AES256 is the only algorithm."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name (RFC 9110, section 5.6.2)."""


class Text(click.ParamType[Any]):
    """Text, or ``file://path`` for the content of a file."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        raw = self.load(str(value), param, ctx)
        try:
            return raw if isinstance(raw, str) else raw.decode()
        except UnicodeDecodeError:
            self.fail(f"{value} is not text", param, ctx)

    def load(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str | bytes:
        scheme, separator, path = value.partition("://")
        if not separator or scheme not in ("file", "fileb"):
            return value
        try:
            return Path(path).expanduser().read_bytes()
        except OSError as exc:
            self.fail(f"cannot read {path}: {exc.strerror}", param, ctx)


class Key(Text):
    """A key of 32 bytes, not in base64; from a file with ``fileb://path``, so that no process list shows it."""

    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, Secret):
            return value
        raw = self.load(str(value), param, ctx)
        key = raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else raw
        if len(key) != _KEY_LENGTH:
            message = f"an AES256 key has {_KEY_LENGTH} bytes, this one has {len(key)}; name a file: fileb://path"
            self.fail(message, param, ctx)
        return Secret(key)


class Metadata(Text):
    """``name=value,name=value`` or a JSON object; names in lower case, as both clouds keep them."""

    name = "metadata"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        text = super().convert(value, param, ctx)
        try:
            pairs = _from_json(text) if text.lstrip().startswith("{") else _from_shorthand(text)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)
        for name, content in pairs.items():
            if not _NAME.fullmatch(name) or not content.isascii() or not content.isprintable():
                self.fail(f"{name!r} cannot be a header: names and values must be printable ASCII", param, ctx)
        return tuple((name.lower(), content) for name, content in pairs.items())


def _from_json(text: str) -> dict[str, str]:
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("not a JSON object of strings")
    return found


def _from_shorthand(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    position = 0
    while position < len(text):
        found = _PAIR.match(text, position)
        if not found:
            raise ValueError(f"not name=value: {text[position:]!r}")
        if found["key"] in pairs:
            raise ValueError(f"{found['key']} is given twice")
        pairs[found["key"]] = _unescaped(found)
        position = found.end()
    return pairs


def _unescaped(found: re.Match[str]) -> str:
    for group, quote in (("single", "'"), ("double", '"')):
        if found[group] is not None:
            return found[group].replace(f"\\{quote}", quote).replace("\\\\", "\\")
    return found["plain"].replace("\\,", ",").rstrip()


class Expires(Text):
    """A point in time: ISO 8601, RFC 9110 or epoch seconds; converted to a header value."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        # botocore parses times as the AWS CLI does; it is installed wherever S3 is used.
        from botocore.utils import parse_to_aware_datetime

        try:
            moment = parse_to_aware_datetime(text)
        except (ValueError, RuntimeError, OverflowError):
            self.fail(f"{text!r} is not a point in time; write it as 2030-01-31T12:00:00Z", param, ctx)
        from email.utils import format_datetime

        return format_datetime(moment.astimezone(UTC), usegmt=True)


class Rate(click.ParamType[Any]):
    """Bytes per second: ``50MiB/s``, ``50MB/s`` (the same, as for the AWS CLI), ``100000``."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            rate = size_of(str(value).removesuffix("/s"))
        except ValueError:
            rate = 0
        if rate <= 0:
            self.fail(f"{value} is not a rate; write it as 50MiB/s", param, ctx)
        return rate


class DeleteCap(click.ParamType[Any]):
    """Maximum number or share of deletes: ``100``, ``25%``."""

    name = "cap"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return Cap.parse(value) if isinstance(value, str) else value
        except ConfigError as exc:
            raise Misuse(exc.message, hint=exc.hint) from exc


class Grants(click.ParamType[Any]):
    """``permission=grantee``; the last one for each permission counts."""

    name = "grants"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        permission, separator, grantees = str(value).partition("=")
        if not separator:
            self.fail("grants are written as permission=grantee", param, ctx)
        if permission not in ("read", "readacl", "writeacl", "full"):
            self.fail(f"{permission} is not one of read, readacl, writeacl, full", param, ctx)
        return permission, grantees


class Duration(click.ParamType[Any]):
    """``90s``, ``5m``, ``1h30m``, ``7d``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return value if isinstance(value, timedelta) else parse_duration(str(value))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)

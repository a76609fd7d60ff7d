"""Files made from several secrets: Jinja2, sandboxed and strict.

A secret is a name in the template: ``{{ db }}`` is its text, ``{{ db.password }}`` a field of its JSON. Whatever is
not there is an error, not an empty string. Beside Jinja's own filters: ``dotenv``, ``properties``, ``shell``,
``base64``. https://jinja.palletsprojects.com/en/stable/sandbox/
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from keepstep.errors import ConfigError
from keepstep.secrets.delivery import Values, key_of
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.fields import field_of, text_of


@dataclass(frozen=True, slots=True)
class Template:
    """Text with places for secrets; UTF-8. What stands at the end of the text is kept."""

    text: str
    secrets: Mapping[str, SecretAddress]
    name: str = "template"
    """As messages call it."""

    def __post_init__(self) -> None:
        """Raises :class:`ConfigError` for what does not parse, before anything is fetched."""
        self._compiled()

    @property
    def sources(self) -> tuple[SecretAddress, ...]:
        return tuple(self.secrets.values())

    def render(self, values: Values) -> bytes:
        from jinja2 import TemplateError, UndefinedError

        known = {name: _Text(address, values) for name, address in self.secrets.items()}
        try:
            text: str = self._compiled().render(known)
            return text.encode()
        except ConfigError:
            raise
        except UndefinedError as exc:
            raise ConfigError(f"{self.name}: {exc.message}") from None
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as exc:
            # neither its text nor its cause: filters quote what they cannot work with
            raise ConfigError(f"{self.name} cannot be rendered ({type(exc).__name__})") from None

    def _compiled(self) -> Any:
        from jinja2 import TemplateSyntaxError

        try:
            return _environment().from_string(self.text)
        except TemplateSyntaxError as exc:
            raise ConfigError(f"{self.name}, line {exc.lineno}: {exc.message}") from None


class _Text:
    """A secret in a template: its text, and the fields of its JSON by name."""

    def __init__(self, address: SecretAddress, values: Values) -> None:
        self._address = address
        self._content = field_of(values[key_of(address)].content.reveal_bytes(), address)

    def __str__(self) -> str:
        try:
            return self._content.decode()
        except UnicodeDecodeError:
            raise ConfigError(f"{self._address} is no text", hint="templates are text; deliver it alone") from None

    def __html__(self) -> str:
        return str(self)

    def __getitem__(self, name: str) -> Any:
        try:
            fields = json.loads(self._content)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise ConfigError(f"{self._address} is no JSON object, so it has no field {name}")
        if name not in fields:
            raise ConfigError(f"{self._address} has no field {name}")
        return fields[name]


@cache
def _environment() -> Any:
    try:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"templates need the library {exc.name}, which is not installed", hint="pip install 'keepstep[secrets]'"
        ) from exc
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,  # files are no HTML
        keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, str | _Text) else text_of(value),
    )
    environment.filters.update(_FILTERS)
    return environment


def _dotenv(value: object) -> str:
    """A value as shells, systemd, docker compose and dotenv libraries read it.

    Single quotes, within which all of them take everything as it is; double ones only where there is no other way.
    """
    text = _plain(value)
    if not re.search(r"['\\\n\r]", text):
        return f"'{text}'"
    return '"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"'


def _properties(value: object) -> str:
    """As java.util.Properties reads a value: what is special is escaped, what is not ASCII as UTF-16 units."""
    text = re.sub(r"([\\:=#!])", r"\\\1", _plain(value))
    text = re.sub(r"^ ", r"\\ ", text)
    for character, escaped in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("\f", "\\f")):
        text = text.replace(character, escaped)
    return re.sub(r"[^\x20-\x7e]", _utf16, text)


def _utf16(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _plain(value: object) -> str:
    return str(value) if isinstance(value, str | _Text) else text_of(value)


def _base64(value: object) -> str:
    content = value._content if isinstance(value, _Text) else _plain(value).encode()
    return base64.b64encode(content).decode()


_FILTERS: dict[str, Callable[[object], str]] = {
    "dotenv": _dotenv,
    "properties": _properties,
    "shell": lambda value: shlex.quote(_plain(value)),
    "base64": _base64,
}

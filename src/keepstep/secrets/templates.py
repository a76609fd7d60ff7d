"""Files made from several secrets: Jinja2, sandboxed and strict.

A secret is a name in the template: ``{{ db }}`` is its text, in every operator, test and filter, and
``{{ db.password }}`` a field of its JSON. What is missing, or ``null``, is an error unless the template asks first
(``is defined``, ``default``). Besides Jinja's own filters: ``dotenv``, ``properties``, ``shell``, ``base64``.
https://jinja.palletsprojects.com/en/stable/sandbox/

No error ever quotes a value, by construction: messages are made of the template's own name, the line, and names
that stand in the template as they are. What Jinja and its filters say is never shown.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from keepstep.errors import ConfigError
from keepstep.secrets.delivery import Values, key_of
from keepstep.secrets.dotenv import READERS, quoted
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.fields import Integer, Real, field_of, object_in, text_of

_FAILURES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What operators and filters raise."""
_FILE = "<template>"
"""What Jinja calls a template that came from a string, in its own frames."""


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

        known = {name: _value(address, values) for name, address in self.secrets.items()}
        hint = None
        try:
            text: str = self._compiled().render(known)
            return text.encode()
        except ConfigError as exc:
            line, why, hint = _line(exc), exc.message, exc.hint
        except UndefinedError as exc:
            line, why = _line(exc), str(exc.message)
        except UnicodeEncodeError:
            line, why = "", "a value is not text (it holds half of a character)"
        except (TemplateError, *_FAILURES) as exc:
            line, why = _line(exc), f"cannot be rendered ({type(exc).__name__})"
        raise ConfigError(f"{self.name}{line}: {why}", hint=hint) from None

    def _compiled(self) -> Any:
        from jinja2 import TemplateSyntaxError

        try:
            return _environment().from_string(self.text)
        except TemplateSyntaxError as exc:
            raise ConfigError(f"{self.name}, line {exc.lineno}: {exc.message}") from None


def _line(exc: BaseException) -> str:
    """``, line 3``: where in the template it happened, as Jinja writes it into the traceback."""
    number, trace = 0, exc.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == _FILE:
            number = trace.tb_lineno
        trace = trace.tb_next
    return f", line {number}" if number else ""


class _Text(str):
    """A secret that is text, and the fields of its JSON."""

    __slots__ = ("_address", "_fields")
    _address: SecretAddress
    _fields: dict[str, Any] | None
    """None when it is not a JSON object."""


def _value(address: SecretAddress, values: Values) -> Any:
    content = field_of(values[key_of(address)].content.reveal_bytes(), address)
    try:
        text = _Text(content.decode())
    except UnicodeDecodeError:
        return _binary()(f"{address} is not text; templates are text, so deliver it alone", content)
    text._address, text._fields = address, object_in(text)
    return text


@cache
def _missing() -> Any:
    """The class of whatever is not there. Its message is a hint of ours, or a name that stands in the template."""
    from jinja2 import StrictUndefined
    from jinja2.utils import missing

    class Missing(StrictUndefined):
        @property
        def _undefined_message(self) -> str:
            if self._undefined_hint:
                return self._undefined_hint
            if self._undefined_obj is missing:
                return f"{self._undefined_name} is not among the secrets of this template"
            return "there is no such field"

    return Missing


@cache
def _binary() -> Any:
    """The class of a secret that is not text: whatever is done with it is an error, but for ``base64``."""

    class Binary(_missing()):  # type: ignore[misc]
        __slots__ = ("content",)

        def __init__(self, hint: str, content: bytes) -> None:
            super().__init__(hint)
            self.content = content

    return Binary


@cache
def _environment() -> Any:
    try:
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"templates need the library {exc.name}, which is not installed", hint="pip install 'keepstep[secrets]'"
        ) from exc
    from jinja2 import pass_environment

    class Environment(ImmutableSandboxedEnvironment):
        """Fields go before the methods of text and of dictionaries: ``{{ db.title }}`` is what the secret says."""

        def getattr(self, obj: Any, attribute: str) -> Any:
            """Of ``a.b``, whose ``b`` always stands in the template, so that it may be named."""
            fields = _fields(obj)
            if fields is not None and attribute in fields:
                return self._present(fields[attribute], f"the field {attribute} is null")
            found = super().getattr(obj, attribute)
            if isinstance(found, self.undefined) and isinstance(obj, _Text):
                why = (
                    f"has no field {attribute}"
                    if fields
                    else f"is not a JSON object, so it has no field {attribute}"
                )
                return self.undefined(f"{obj._address} {why}")
            return found

        def getitem(self, obj: Any, argument: Any) -> Any:
            """Of ``a[b]``, whose ``b`` may be a value, so that it is never named."""
            fields = _fields(obj)
            if fields is not None and isinstance(argument, str) and argument in fields:
                return self._present(fields[argument], "the field is null")
            if isinstance(obj, _Text) and isinstance(argument, str):
                return self.undefined(f"{obj._address} has no such field")
            return super().getitem(obj, argument)

        def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
            return self.undefined("the insides of Python are out of bounds")

        def _present(self, value: Any, why_not: str) -> Any:
            return self.undefined(why_not) if value is None else value

    environment = Environment(
        undefined=_missing(),
        autoescape=False,  # files are not HTML
        keep_trailing_newline=True,
        finalize=_written,
    )
    environment.filters.update(_FILTERS)
    environment.filters["attr"] = pass_environment(lambda env, obj, name: env.getitem(obj, name))
    return environment


def _fields(obj: Any) -> dict[str, Any] | None:
    if isinstance(obj, _Text):
        return obj._fields
    return obj if isinstance(obj, dict) else None


def _written(value: Any) -> Any:
    """What an expression leaves in the file."""
    from jinja2 import Undefined

    if isinstance(value, str | Undefined):  # an undefined one raises when it is printed
        return value
    if value is None:
        raise ConfigError("an expression is null")
    if isinstance(value, bool | Integer | Real | dict | list | tuple):
        return text_of(value)
    return str(value)


def _plain(value: object) -> str:
    return str(_written(value))


def _dotenv(value: object, *readers: str) -> str:
    """A value that every reader of environment files gets back, or those that are named; see :mod:`.dotenv`."""
    if any(reader not in READERS for reader in readers):
        raise ConfigError("dotenv does not know that reader", hint=f"it knows {', '.join(READERS)}")
    try:
        return quoted(_plain(value), readers or READERS)
    except ValueError as exc:
        hint = f"name who reads the file: dotenv('{next(iter(READERS))}'), or several of {', '.join(READERS)}"
        raise ConfigError(str(exc), hint=hint) from None


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


def _shell(value: object) -> str:
    text = _plain(value)
    if "\0" in text:
        raise ConfigError("a value holds a NUL, which no shell can")
    return shlex.quote(text)


def _base64(value: object) -> str:
    content = value.content if isinstance(value, _binary()) else _plain(value).encode()
    return base64.b64encode(content).decode()


_FILTERS: dict[str, Callable[..., str]] = {
    "dotenv": _dotenv,
    "properties": _properties,
    "shell": _shell,
    "base64": _base64,
}

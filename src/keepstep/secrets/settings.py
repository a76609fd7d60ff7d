"""What ``keepstep.toml`` says of a secrets job beyond what the map can: the format's definition.

``config.py`` makes it part of ``[job.NAME]``; :mod:`.plan` makes targets of it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from keepstep.containers.signals import signal_name
from keepstep.secrets.delivery import mode_of
from keepstep.secrets.recipes import RECIPES


def _mode(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError('write the mode in octal and in quotes, as "0600"')
    return mode_of(value)


def _text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Mode = Annotated[int, BeforeValidator(_mode), Field(json_schema_extra={"type": "string", "examples": ["0600"]})]


NameOrNumber = Annotated[str, BeforeValidator(_text, json_schema_input_type=str | int)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Notify(_Model):
    """Whom to tell after a change, and how."""

    container: str | None = None
    """Containers by name, in every engine that is found."""
    label: str | None = None
    """``key=value`` or ``key``: every running container that has it."""
    unit: str | None = None
    """Of systemd; reloaded when nothing else is said."""
    pid_file: str | None = None
    signal: NameOrNumber | None = None
    restart: bool = False
    recipe: str | None = None
    """A server's name; see docs/secrets.md."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if sum(bool(given) for given in (self.container, self.label, self.unit, self.pid_file)) != 1:
            raise ValueError("name exactly one of container, label, unit, pid_file")
        ways = sum(bool(given) for given in (self.signal, self.restart, self.recipe))
        if ways > 1 or (ways == 0 and not self.unit):
            raise ValueError("say how: exactly one of signal, restart, recipe")
        if self.recipe and self.recipe not in RECIPES:
            raise ValueError(f"there is no recipe {self.recipe}; there are {', '.join(RECIPES)}")
        if self.pid_file and (self.restart or (self.recipe and RECIPES[self.recipe].what == "restart")):
            raise ValueError("a process with a pid file can be signalled only")
        if self.signal:
            signal_name(self.signal)
        return self


class _Rendered(_Model):
    """Where a file's content comes from, and what it looks like."""

    secret: str | None = None
    """One secret, as it is; ``#field`` picks a field of its JSON."""
    encoding: Literal["raw", "base64", "hex"] = "raw"
    """What the secret's text stands for."""
    template: str | None = None
    """Jinja2; a name of ``secrets`` is its text, ``name.field`` a field of its JSON."""
    template_file: str | None = None
    secrets: dict[str, str] = Field(default_factory=dict)
    """Names in the template, and their secrets."""
    mode: Mode = 0o600
    owner: NameOrNumber | None = None
    """A user's."""
    group: NameOrNumber | None = None

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        if sum(given is not None for given in (self.secret, self.template, self.template_file)) != 1:
            raise ValueError("give exactly one of secret, template, template_file")
        if self.secret is None and not self.secrets:
            raise ValueError('a template needs its secrets by name: secrets = { name = "address" }')
        if self.secret is None and self.encoding != "raw":
            raise ValueError("encoding belongs to a single secret")
        return self


class SecretFile(_Rendered):
    """One file, or the same one in several places."""

    path: Annotated[
        list[str], BeforeValidator(_listed, json_schema_input_type=str | list[str]), Field(min_length=1)
    ]
    notify: list[Notify] = Field(default_factory=list)


class SetFile(_Rendered):
    """One file of a set."""

    name: str


class SecretSet(_Model):
    """Files that are switched together, in a folder of their own."""

    path: str
    """The folder."""
    file: Annotated[list[SetFile], Field(min_length=1)]
    notify: list[Notify] = Field(default_factory=list)

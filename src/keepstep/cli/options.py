"""Finds keepstep.toml, and merges options given before and after a subcommand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from keepstep.errors import ConfigError
from keepstep.jobs.option_parsing import Command, ValuesChecked

if TYPE_CHECKING:
    from pathlib import Path

_GLOBAL = ("as_json", "quiet", "verbose", "no_progress")


def config_file(ctx: click.Context) -> Path | None:
    """The given keepstep.toml, preferably after the subcommand, or the first default that exists."""
    # pydantic costs a tenth of a second; a sync of two addresses does not need it.
    from keepstep.config import find

    behind = ctx.params.get("config")
    return find((ctx.find_root().obj or {}).get("config") if behind is None else behind)


def needed_config_file(ctx: click.Context) -> Path:
    """Like :func:`config_file`. Raises :class:`ConfigError` if there is none."""
    path = config_file(ctx)
    if path is None:
        raise ConfigError(
            "there is no keepstep.toml in the current directory or in /etc/keepstep", hint="name it with --config"
        )
    return path


def merge_globals(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """The subcommand's options, with each global flag that was given before or after the subcommand."""
    given = ctx.find_root().obj or {}
    return options | {name: bool(options.get(name) or given.get(name)) for name in _GLOBAL}


class Group(ValuesChecked, click.Group):
    """The base class of every group of commands."""

    command_class = Command

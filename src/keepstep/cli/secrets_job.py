"""Selects what ``keepstep secrets`` and ``keepstep exec`` deliver: a map file, or a job of keepstep.toml."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from keepstep.cli.options import config_file
from keepstep.cli.running import run
from keepstep.config import Config, load
from keepstep.errors import ConfigError, ExitCode
from keepstep.jobs.resolve import resolve
from keepstep.jobs.secrets import ResolvedSecrets, secrets_of_map
from keepstep.secrets.map import find_map

T = TypeVar("T")


def chosen_secrets(ctx: click.Context, given: str | None) -> ResolvedSecrets:
    """Resolves the argument: a configured job, otherwise a file; without an argument the default map.

    Raises :class:`ConfigError`.
    """
    path = config_file(ctx)
    config = load(path) if path else Config()
    is_path = given is not None and ("/" in given or given.endswith(".csv") or Path(given).is_file())
    if given is not None and (given in config.job or not is_path):
        if not config.job:
            raise ConfigError(f"there is no map file {given}, and no keepstep.toml with a job of that name")
        return resolve(config, given, "secrets")
    return secrets_of_map(config, find_map() if given is None else Path(given))


def ask(questions: Coroutine[Any, Any, T]) -> T:
    """Runs a read-only coroutine. Ctrl-C ends the process with its exit code."""
    try:
        return run(questions)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)

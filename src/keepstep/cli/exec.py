"""``keepstep exec``: runs a program with secrets in its environment only."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import NoReturn

import click

from keepstep.cli.secrets_job import ask, chosen_secrets
from keepstep.errors import Error
from keepstep.jobs.option_parsing import Command
from keepstep.jobs.secrets import ResolvedSecrets
from keepstep.secrets.environment import chosen, environment_of

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""Exit codes of env(1) and of every shell."""


@click.command(
    cls=Command,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
)
@click.option("--map", "map_", metavar="MAP|JOB", help="Map or job, as for keepstep secrets apply.")
@click.option(
    "--env",
    "names",
    metavar="NAME=PATH",
    multiple=True,
    callback=lambda ctx, param, value: _names(value),
    help="Name of the variable for the file PATH of the map, instead of one derived from the file name.",
)
@click.argument("words", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, map_: str | None, names: dict[str, str], words: tuple[str, ...]) -> None:
    """Run COMMAND with each file of MAP as an environment variable; nothing is written to disk.

    /run/secrets/db_password becomes DB_PASSWORD. Names that control shells, interpreters or the dynamic loader
    (path, ld_preload) are refused unless --env sets them. If any secret cannot be fetched, COMMAND does not start.
    It replaces keepstep: it receives signals, and its exit code is returned (127 if it does not exist).
    """
    secrets = ask(_secrets(chosen_secrets(ctx, map_), names))
    _become(words, {**os.environb, **secrets})


def _names(given: tuple[str, ...]) -> dict[str, str]:
    try:
        return dict(map(chosen, given))
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from None


async def _secrets(work: ResolvedSecrets, names: dict[str, str]) -> dict[bytes, bytes]:
    async with AsyncExitStack() as stack:
        return await environment_of(work.plan, work.vaults(stack), names=names)


def _become(words: tuple[str, ...], environment: dict[bytes, bytes]) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores these signals, and programs would inherit that
    sys.stdout.flush()
    try:
        os.execvpe(words[0], list(words), environment)  # noqa: S606 - it is what we are asked for
    except FileNotFoundError:
        code, why = _NOT_FOUND, "program not found"
    except OSError as exc:
        code, why = _NOT_EXECUTABLE, exc.strerror or str(exc)
    from keepstep.cli import say

    say(Error(f"cannot run {words[0]}: {why}"))
    sys.exit(code)

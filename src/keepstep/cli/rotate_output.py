"""Output of ``keepstep rotate``: a line for each completed row, errors on stderr."""

from __future__ import annotations

import sys

import click

from keepstep.runs.report import Action, Failure
from keepstep.text import printable, printable_lines


class Lines:
    """Observes a tick and prints lines; ``verbose`` adds observations and steps without effect."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self._is_quiet = quiet
        self._is_verbose = verbose

    def said(self, text: str) -> None:
        if self._is_verbose and not self._is_quiet:
            self._say(text)

    def did(self, action: Action) -> None:
        if not self._is_quiet:
            what = f" {action.source}" if action.source else ""
            self._say(f"{action.target}: {action.action}{what} ({action.reason})")

    def failed(self, failure: Failure) -> None:
        click.echo(f"error: {printable(failure.error)}", err=True)
        if failure.hint:
            click.echo(f"hint: {printable_lines(failure.hint)}", err=True)

    def warned(self, text: str) -> None:
        if not self._is_quiet:
            click.echo(f"warning: {printable(text)}", err=True)

    def _say(self, line: str) -> None:
        sys.stdout.write(printable(line) + "\n")
        sys.stdout.flush()

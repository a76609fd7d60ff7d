"""Output of ``keepstep secrets``: a line for each change on stdout, errors on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from keepstep.runs.report import Action, Failure
from keepstep.secrets.drift import DriftState, FileState
from keepstep.text import printable, printable_lines


class Lines:
    """Observes a run and prints lines. Log filters match ``Updated PATH from ADDRESS``: keep it."""

    def __init__(self, *, dryrun: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self._is_dryrun = dryrun
        self._is_quiet = quiet
        self._is_verbose = verbose
        self._hints: set[str] = set()

    def did(self, action: Action) -> None:
        if self._is_quiet:
            return
        if action.action == "notify":
            self._say(f"Notified {(action.target or '').replace(':', ' ', 1)}: {action.reason}")
        elif self._is_dryrun:
            self._say(f"(dryrun) Would update {_shown(action.target)} from {action.source}: {action.reason}")
        else:
            self._say(f"Updated {_shown(action.target)} from {action.source}")

    def kept(self, action: Action) -> None:
        if self._is_verbose and not self._is_quiet:
            self._say(f"Kept {_shown(action.target)} from {action.source}: {action.reason}")

    def failed(self, failure: Failure) -> None:
        where = f"{failure.source}: " if failure.action == "map" else ""
        self._complain(f"error: {where}{failure.error}")
        self.hint(failure.hint)

    def hint(self, text: str | None) -> None:
        """Prints each hint once."""
        if text and text not in self._hints:
            self._hints.add(text)
            self._complain(f"hint: {text}")

    def warned(self, text: str) -> None:
        if not self._is_quiet:
            self._complain(f"warning: {text}")

    def _say(self, line: str) -> None:
        sys.stdout.write(printable(line) + "\n")
        sys.stdout.flush()

    def _complain(self, line: str) -> None:
        click.echo(printable_lines(line), err=True)


def table(states: Iterable[FileState]) -> Iterable[str]:
    """A line for each file: state, version, path, origin, note."""
    rows = [(state.state.value, _versions(state), _shown(state.path), state.source, state.note) for state in states]
    widths = [max((len(row[column] or "") for row in rows), default=0) for column in range(4)]
    for row in rows:
        cells = [(cell or "").ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield printable("  ".join([*cells, row[4] or ""]).rstrip())


def _versions(state: FileState) -> str:
    if state.state is DriftState.IN_STEP:
        return f"version {state.current}"
    if state.version:
        return f"version {state.version} of {state.current}"
    return f"current is {state.current}" if state.current else ""


def _shown(path: str | None) -> str:
    return printable(path or "")

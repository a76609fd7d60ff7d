"""Output of a sync: the AWS CLI's lines on stdout, errors and a progress bar on stderr."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any

import click

from keepstep.cli.progress_lines import ProgressLines
from keepstep.cli.running import late_signal
from keepstep.errors import ExitCode
from keepstep.runs.report import Action, Failure, Report
from keepstep.text import printable, printable_lines
from keepstep.units import size_in_words


class Terminal:
    """Observes a run and prints. A context manager, because the progress bar has to be stopped."""

    def __init__(
        self,
        *,
        dryrun: bool = False,
        quiet: bool = False,
        only_errors: bool = False,
        explain: bool = False,
        progress: bool = True,
        frequency: int | None = None,
        multiline: bool = False,
        verbose: bool = False,
    ) -> None:
        """``frequency``: minimum seconds between progress updates; ``multiline``: as lines."""
        self._prefix = "(dryrun) " if dryrun else ""
        self._is_quiet = quiet
        self._says_actions = not (quiet or only_errors)
        self._explains = explain
        self._hints: set[str] = set()
        self._is_verbose = verbose
        self._progress: _Progress | ProgressLines | None = None
        if progress and self._says_actions and not dryrun:
            if multiline:
                self._progress = ProgressLines(frequency or 0)
            elif sys.stderr.isatty():
                self._progress = _Progress(frequency or 0)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def planned(self, objects: int, size: int) -> None:
        if self._progress:
            self._progress.grow(objects, size)

    def moved(self, size: int) -> None:
        if self._progress:
            self._progress.add_bytes(size)

    def did(self, action: Action) -> None:
        if self._progress and action.action != "delete":
            self._progress.add_object()
        if not self._says_actions or (action.action == "skip" and not self._explains):
            return
        is_finding = action.action == "different"
        objects = _objects(action.source, action.target, " and " if is_finding else " to ")
        reason = f" ({action.reason})" if self._explains or is_finding else ""
        self._say(printable(f"{self._prefix}{action.action}: {objects}{reason}"))

    def failed(self, failure: Failure) -> None:
        what = _objects(failure.source, failure.target) if failure.action in _OBJECT_ACTIONS else ""
        error = printable(failure.error)
        self._complain(f"{failure.action} failed: {what}: {error}" if what else f"error: {error}")
        if failure.hint and failure.hint not in self._hints:
            self._hints.add(failure.hint)
            self._complain(f"hint: {printable_lines(failure.hint)}")

    def warned(self, text: str) -> None:
        if not self._is_quiet:
            self._complain(f"warning: {printable(text)}")

    def summarize(self, report: Report) -> None:
        """Prints a summary for people; scripts have the exit code and ``--json``."""
        if self._progress:
            self._progress.stop()
        if not self._says_actions or not (sys.stderr.isatty() or self._is_verbose):
            return
        click.echo(", ".join(_summary(report)), err=True)
        if self._is_verbose:
            asked = ", ".join(f"{count} {name}" for name, count in sorted(report.requests.items()))
            click.echo(f"requests: {asked or 'none'}", err=True)

    def noted(self, text: str) -> None:
        """Prints something worth knowing that is not a warning."""
        if self._says_actions:
            self._complain(f"note: {printable(text)}")

    def _say(self, line: str) -> None:
        if isinstance(self._progress, _Progress) and sys.stdout.isatty():
            self._progress.print(line)
        else:
            sys.stdout.write(line + "\n")

    def _complain(self, line: str) -> None:
        if self._progress:
            self._progress.print(line)
        else:
            sys.stdout.flush()
            click.echo(line, err=True)


_OBJECT_ACTIONS = ("upload", "download", "copy", "delete", "compare")
_COUNTED = {
    "source_only": "only at the source",
    "target_only": "only at the target",
    "delete": "deleted",
    "skip": "skipped",
    "unknown": "unknown",
    "failed": "failed",
}


def _summary(report: Report) -> list[str]:
    counts = report.counts
    moved = sum(counts[word] for word in ("upload", "download", "copy"))
    parts = [f"{moved} transferred ({size_in_words(report.bytes)})", f"{counts['unchanged']} unchanged"]
    if report.kind == "verify":
        parts = [f"{counts['equal']} equal", f"{counts['different']} different"]
    return parts + [f"{counts[w]} {name}" for w, name in _COUNTED.items() if counts[w]]


class _Progress:
    """Objects, bytes, rate and time left in one line, drawn at most a few times a second."""

    def __init__(self, frequency: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._bar: Any = Progress(
            TextColumn("{task.fields[objects]}/{task.fields[planned]} objects"),
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=1 / frequency if frequency else 5,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("sync", total=0, objects=0, planned=0)
        self._objects = self._planned = self._bytes = self._total = 0
        self._shown = 0.0
        self._pause = frequency or 0.1
        self._bar.start()

    def grow(self, objects: int, size: int) -> None:
        self._planned += objects
        self._total += size
        self._show()

    def add_object(self) -> None:
        self._objects += 1
        self._show()

    def add_bytes(self, size: int) -> None:
        self._bytes += size
        self._show()

    def print(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        self._bar.stop()

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._shown < self._pause:
            return
        self._shown = now
        self._bar.update(
            self._task, total=self._total, completed=self._bytes, objects=self._objects, planned=self._planned
        )


def hand_in(report: Report, interrupted: ExitCode | None, *, as_json: bool) -> ExitCode:
    """Ends a run's output, with the report if requested."""
    report.exit_code = interrupted or late_signal() or report.exit_code
    if as_json:
        report.write_json(sys.stdout)
    sys.stdout.flush()
    return report.exit_code


def _objects(source: str | None, target: str | None, between: str = " to ") -> str:
    """``a to s3://b/c``, local paths relative to the current directory as the AWS CLI prints them."""
    shown = [printable(_relative(address)) for address in (source, target) if address]
    return between.join(shown)


def _relative(address: str) -> str:
    if "://" in address:
        return address
    folder, name = os.path.split(address)
    return os.path.join(os.path.relpath(folder or "."), name)

"""Progress for logs: lines on stderr in the AWS CLI's format (``--progress-multiline``)."""

from __future__ import annotations

import sys
import time

import click

from keepstep.units import size_in_words


class ProgressLines:
    """Prints a line after progress, at most one per ``frequency`` seconds, and a final one."""

    def __init__(self, frequency: int) -> None:
        self._frequency = frequency
        self._began = self._shown = time.monotonic()
        self._objects = self._planned = self._bytes = self._total = 0
        self._said: tuple[int, ...] = ()

    def grow(self, objects: int, size: int) -> None:
        self._planned += objects
        self._total += size

    def add_object(self) -> None:
        self._objects += 1
        self._show()

    def add_bytes(self, size: int) -> None:
        self._bytes += size
        self._show()

    def print(self, line: str) -> None:
        sys.stdout.flush()
        click.echo(line, err=True)

    def stop(self) -> None:
        if self._planned:
            self._show(is_last=True)

    def _show(self, *, is_last: bool = False) -> None:
        now = time.monotonic()
        if now - self._shown < self._frequency and not is_last:
            return
        state = (self._bytes, self._total, self._objects, self._planned)
        if state == self._said:
            return
        self._shown, self._said = now, state
        speed = self._bytes / max(now - self._began, 0.001)
        self.print(
            f"Completed {size_in_words(self._bytes)}/{size_in_words(self._total)} ({size_in_words(int(speed))}/s) "
            f"with {self._planned - self._objects} file(s) remaining"
        )

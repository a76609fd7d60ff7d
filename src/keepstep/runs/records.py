"""Records of a run, kept without memory that grows with them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, Generic, TextIO, TypeVar

T = TypeVar("T")

_IN_MEMORY = 1024 * 1024
"""Bytes."""


class Records(Generic[T]):
    """What JSON can hold, in the order in which it came; in a file without a name once it is much.

    ``dump`` makes JSON's types of a record, ``load`` undoes it.
    """

    def __init__(self, dump: Callable[[T], Any], load: Callable[[Any], T]) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, mode="w+", encoding="ascii")  # noqa: SIM115
        self._dump = dump
        self._load = load
        self._count = 0
        self._is_read = False

    def add(self, record: T) -> None:
        if self._is_read:
            self._file.seek(0, os.SEEK_END)
            self._is_read = False
        self._file.write(json.dumps(self._dump(record)) + "\n")
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return map(self._load, map(json.loads, self._lines()))

    def write_json(self, out: TextIO) -> None:
        """All of them as one JSON array, a line each."""
        out.write("[")
        for number, line in enumerate(self._lines()):
            out.write(",\n" if number else "\n")
            out.write(line.rstrip("\n"))
        out.write("]")

    def _lines(self) -> Iterator[str]:
        self._is_read = True
        self._file.seek(0)
        for line in self._file:  # noqa: UP028 - `yield from` would close the file with a reader who stops early
            yield line

"""Keeps records of a run without using memory that grows with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Generic, TextIO, TypeVar

from keepstep.errors import Error
from keepstep.spool import Spool

T = TypeVar("T")

_IN_MEMORY = 1024 * 1024
"""Bytes."""


class Records(Generic[T]):
    """JSON records in order of arrival; moved to an unnamed file once they are large.

    ``dump`` converts a record to JSON types, ``load`` converts it back. If the temporary folder is full, records
    stay in memory, so that a report is always complete.
    """

    def __init__(self, dump: Callable[[T], Any], load: Callable[[Any], T]) -> None:
        self._spool = Spool(_IN_MEMORY)
        self._dump = dump
        self._load = load
        self._count = 0

    def add(self, record: T) -> None:
        with suppress(Error):
            self._spool.write(json.dumps(self._dump(record)).encode("ascii") + b"\n")
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return map(self._load, map(json.loads, self._lines()))

    def write_json(self, out: TextIO) -> None:
        """Writes all records as one JSON array, one line each."""
        out.write("[")
        for number, line in enumerate(self._lines()):
            out.write(",\n" if number else "\n")
            out.write(line.rstrip("\n"))
        out.write("]")

    def _lines(self) -> Iterator[str]:
        with self._spool.reader() as file:
            for line in file:
                yield line.decode("ascii")

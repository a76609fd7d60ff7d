"""Keys that are kept for later, without memory that grows with them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator

_IN_MEMORY = 8 * 1024 * 1024
_LENGTH = 4
"""Bytes before each key that say how long it is."""


class KeyLog:
    """Keys in the order in which they came: in memory while they are few, in a file without a name when many."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, mode="w+b")  # noqa: SIM115 - closed by close()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def extend(self, keys: Iterable[str]) -> None:
        for key in keys:
            data = key.encode("utf-8", "surrogatepass")
            self._file.write(len(data).to_bytes(_LENGTH, "big") + data)
            self._count += 1

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        while head := self._file.read(_LENGTH):
            yield self._file.read(int.from_bytes(head, "big")).decode("utf-8", "surrogatepass")

    def close(self) -> None:
        self._file.close()

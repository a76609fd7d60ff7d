"""Keys that are kept for later, without memory that grows with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keepstep.spool import Spool

_IN_MEMORY = 8 * 1024 * 1024
_LENGTH = 4
"""Bytes before each key that say how long it is."""


class KeyLog:
    """Keys in the order in which they came."""

    def __init__(self) -> None:
        self._spool = Spool(_IN_MEMORY)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def extend(self, keys: Iterable[str]) -> None:
        """Raises :class:`Error` when the temporary folder takes no more."""
        for key in keys:
            data = key.encode("utf-8", "surrogatepass")
            self._spool.write(len(data).to_bytes(_LENGTH, "big") + data)
            self._count += 1

    def __iter__(self) -> Iterator[str]:
        with self._spool.reader() as file:
            while head := file.read(_LENGTH):
                yield file.read(int.from_bytes(head, "big")).decode("utf-8", "surrogatepass")

    def close(self) -> None:
        self._spool.close()

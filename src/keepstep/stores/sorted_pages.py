"""Pages in any order in, pages in order out: sorted in memory while they are few, in a temporary file when many.

Memory holds :data:`_IN_MEMORY` objects and, while runs are merged, a few of each run, however many there are.
"""

from __future__ import annotations

import heapq
import marshal
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import IO, Any

from keepstep.errors import Corrupt, Error
from keepstep.stores.interface import Entry, Page

_IN_MEMORY = 64_000
"""Objects; about 16 MiB, and as much again while they are sorted."""
_BLOCK = 250
"""Objects that are read back at a time, of each run that had to be sorted."""
_PAGE = 1000


class SortedPages:
    """Collects pages, then gives them out. What is listed twice alike comes once."""

    def __init__(self, in_memory: int = _IN_MEMORY) -> None:
        """``in_memory``: so many objects are kept in memory at most."""
        self._most = in_memory
        self._pages: list[Page] = []
        self._held = 0
        self._file: IO[bytes] | None = None
        self._runs: list[_Run] = []

    def add(self, page: Page) -> None:
        """Raises :class:`Error` when there is no room for the temporary file."""
        if page:
            self._pages.append(page)
            self._held += len(page)
        if self._held >= self._most:
            self._spill()

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._pages or self._runs)

    def clear(self) -> None:
        self._pages, self._held, self._runs = [], 0, []
        if self._file is not None:
            self._file.close()
            self._file = None

    close = clear

    def __iter__(self) -> Iterator[Page]:
        """To be iterated once. Raises :class:`Corrupt` when one key was listed twice and not alike."""
        if not self._runs:
            yield from _in_order(self._pages, _PAGE)
            return
        if self._pages:
            self._spill()
        if all(one.last < other.first for one, other in pairwise(self._runs)):
            for run in self._runs:
                yield from self._read(run)
            return
        yield from _paged(_once(heapq.merge(*map(self._rows, self._runs))))

    def _spill(self) -> None:
        with _room_for_it():
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="keepstep-listing-")  # noqa: SIM115 - see clear()
            self._file.seek(0, 2)
            blocks, first, last = [], "", ""
            for page in _in_order(self._pages, _BLOCK):
                data = marshal.dumps((page.keys, page.sizes, page.times, page.etags, page.unfit, page.digests))
                blocks.append((self._file.tell(), self._file.write(data)))
                first, last = first if len(blocks) > 1 else page.keys[0], page.keys[-1]
        self._runs.append(_Run(blocks, first, last))
        self._pages, self._held = [], 0

    def _read(self, run: _Run) -> Iterator[Page]:
        assert self._file is not None
        for offset, length in run.blocks:
            with _room_for_it():
                self._file.seek(offset)
                data = self._file.read(length)
            yield Page(*marshal.loads(data))  # noqa: S302 - our own, in a file without a name

    def _rows(self, run: _Run) -> Iterator[Entry]:
        for page in self._read(run):
            yield from map(page.entry, range(len(page)))


class _Run:
    """Consecutive blocks of the file that are in order."""

    def __init__(self, blocks: Sequence[tuple[int, int]], first: str, last: str) -> None:
        self.blocks, self.first, self.last = blocks, first, last


def _in_order(pages: Sequence[Page], size: int) -> Iterator[Page]:
    """The objects in pages of at most ``size``; pages that are in order already are left as they are."""
    if all(page.is_ordered for page in pages) and all(a.keys[-1] < b.keys[0] for a, b in pairwise(pages)):
        yield from pages
        return
    rows = sorted(page.entry(n) for page in pages for n in range(len(page)))
    yield from _paged(_once(rows), size)


def _once(rows: Iterable[Entry]) -> Iterator[Entry]:
    latest: Entry | None = None
    for row in rows:
        if latest is None or row.key != latest.key:
            yield row
        elif row != latest:
            raise Corrupt(
                f"the store lists a key twice, and not alike: {row.key!r}",
                hint="the listing cannot be trusted; run again when nobody writes to the store",
            )
        latest = row


def _paged(rows: Iterable[Entry], size: int = _PAGE) -> Iterator[Page]:
    page = Page()
    for row in rows:
        page.append(row)
        if len(page) == size:
            yield page
            page = Page()
    if page:
        yield page


@contextmanager
def _room_for_it() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Error(
            f"cannot write a temporary file in {_folder()}: {exc.strerror}",
            hint="a listing out of order is sorted there; make room, or set TMPDIR to a folder with more",
        ) from exc


def _folder() -> Any:
    try:
        return tempfile.gettempdir()
    except OSError:
        return "any folder for temporary files"

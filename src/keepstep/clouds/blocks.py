"""Large buffers that are used again: fresh memory costs more than what is done with it.

Each page of new memory is a fault and is zeroed, in a virtual machine maybe twice; to fill 16 MiB of it costs the
kernel several times what receiving them does. Blocks begin on a page, so that they can go to a device without a
copy (open(2), O_DIRECT). Figures in docs/adr/0004-large-files.md.
"""

from __future__ import annotations

import mmap
import sys
import threading

LEAST = 1024 * 1024
"""Bytes from which a buffer is worth a block."""
_KEPT = 160 * 1024 * 1024
"""Bytes of all blocks together. A new one takes the place of free ones where there would be more."""


class Blocks:
    """Lends memory for as long as somebody holds a view of it, or of a part of it. Safe to use from any thread.

    Nobody gives anything back: a block is free again when the last view is gone, also one that a cancelled call
    still has in a thread, or a transport in its queue. So no two users ever share one.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._blocks = [mmap.mmap(-1, mmap.PAGESIZE)]
        self._references_when_free = self._references(0)
        self._blocks.clear()

    def take(self, size: int) -> memoryview:
        """``size`` writable bytes that begin on a page; what is in them is left from before."""
        with self._lock:
            block = self._free(size) or self._new(size)
            return memoryview(block)[:size]

    def _free(self, size: int) -> mmap.mmap | None:
        """The smallest that will do."""
        fitting = [n for n in range(len(self._blocks)) if len(self._blocks[n]) >= size and self._is_free(n)]
        return self._blocks[min(fitting, key=lambda n: len(self._blocks[n]))] if fitting else None

    def _is_free(self, number: int) -> bool:
        return self._references(number) == self._references_when_free

    def _references(self, number: int) -> int:
        """Every view holds one, also of a part of it."""
        return sys.getrefcount(self._blocks[number])

    def _new(self, size: int) -> mmap.mmap:
        size = -(-size // LEAST) * LEAST
        total = size + sum(map(len, self._blocks))
        for number in reversed(range(len(self._blocks))):
            if total > self._kept and self._is_free(number):
                total -= len(self._blocks.pop(number))
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            block.madvise(mmap.MADV_HUGEPAGE)
        self._blocks.append(block)
        return block


BLOCKS = Blocks()
"""The process's."""

"""Flushes to the device, on file systems that have such a thing."""

from __future__ import annotations

import errno
import os

NO_FLUSH = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""How file systems say that they have no fsync(2): FUSE and network file systems, some overlays."""


def flush(descriptor: int) -> OSError | None:
    """Returns when the file or folder is on the device; or how the file system says that it cannot do that.

    That is no reason to go without the file. Raises ``OSError`` for a device that fails.
    """
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in NO_FLUSH:
            raise
        return exc
    return None

"""Flushes files to the device, on file systems that support it."""

from __future__ import annotations

import errno
import os

NO_FLUSH = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""Errors of file systems without fsync(2): FUSE and network file systems, some overlays."""


def flush(descriptor: int) -> OSError | None:
    """Flushes a file or folder to the device; returns the error if the file system does not support that.

    That is no reason to do without the file. Raises ``OSError`` if the device fails.
    """
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in NO_FLUSH:
            raise
        return exc
    return None

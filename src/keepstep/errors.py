"""One family of errors, divided by what the caller does next, and the exit code of each.

Errors of libraries are translated in the adapter that caught them, always ``from`` the original.
Messages are lower case, name the thing and carry no full stop; the hint says what to try next.
"""

from __future__ import annotations

import errno
import os
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes. The table in ``--help`` is printed from here."""

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, value)
        member._value_ = value
        member.__doc__ = meaning
        return member

    DONE = 0, "done; nothing failed (secrets: nothing changed)"
    FAILED = 1, "at least one object, secret or database failed; the rest completed"
    SKIPPED = 2, "something was skipped with a warning, or the command line is wrong"
    CHANGED = 3, "secrets apply: at least one file changed, none failed"
    REFUSED = 4, "refused before acting: a guard (delete cap, empty source, username mismatch, second rotator)"
    MISCONFIGURED = 5, "configuration, credentials or the source itself are missing or wrong"
    LOCKED = 6, "another run holds the lock"
    INTERRUPTED = 130, "interrupted (Ctrl-C); the next run continues"
    TERMINATED = 143, "terminated (SIGTERM); the next run continues"


class Error(Exception):
    """An error for the user: a message, and a hint for the next step."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class ConfigError(Error):
    """The user's settings, arguments or credentials are missing or wrong. Repeating does not help."""

    exit_code = ExitCode.MISCONFIGURED


class Misuse(Error):
    """The command line has an unknown or misplaced argument. Repeating does not help."""

    exit_code = ExitCode.SKIPPED


class Denied(Error):
    """The other side denies access or authentication. Repeating does not help."""

    exit_code = ExitCode.MISCONFIGURED


class NotFound(Error):
    """The thing named does not exist (on OCI: or may not be seen)."""

    exit_code = ExitCode.MISCONFIGURED


class Conflict(Error):
    """The thing was changed since it was read (an ETag or precondition failed). Read it again."""


class Corrupt(Error):
    """Received data is wrong: a checksum or a length differs. Safe to fetch again."""


class Unsupported(Error):
    """The store cannot do this, or cannot store this name."""


class Transient(Error):
    """A temporary failure: timeouts, broken connections, 429, 5xx. The only error that is retried.

    ``retry_after`` is the delay in seconds that the server requested, if any.
    """

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Refused(Error):
    """A guard refused before anything was lost."""

    exit_code = ExitCode.REFUSED


class Locked(Error):
    """Another run of the same job is in progress."""

    exit_code = ExitCode.LOCKED


_UNWRITABLE = {
    errno.EROFS: "it is on a read-only file system: mount a writable folder there, or name another one",
    errno.EACCES: "make it writable for the user that keepstep runs as, or name another folder",
    errno.EPERM: "make it writable for the user that keepstep runs as, or name another folder",
    errno.ENOSPC: "free some space there, or name another folder",
    errno.EDQUOT: "free some space there, or name another folder",
}
_NO_TEMPORARY = "No usable temporary directory"
"""The message of Python's tempfile, which raises it with the number of a missing file."""


def unwritable(fault: OSError) -> ConfigError | None:
    """The error for a place that cannot be written or is full; None for any other system error."""
    if _NO_TEMPORARY in str(fault.strerror):
        hint = "mount a writable folder at /tmp, or name one: TMPDIR=/path"
        return ConfigError("there is no writable folder for temporary files", hint=hint)
    hint = _UNWRITABLE.get(fault.errno or 0, "")
    if not hint or not fault.filename:
        return None
    return ConfigError(f"cannot use {os.fsdecode(fault.filename)}: {fault.strerror}", hint=hint)

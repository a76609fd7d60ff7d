"""One family of errors, divided by what the caller does next, and the exit code of each.

Strangers' errors are translated at the edge, in the adapter that caught them, always ``from`` the original.
Messages are lower case, name the thing and carry no full stop; the hint says what to try next.
"""

from __future__ import annotations

import errno
import os
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its caller. The table in ``--help`` is printed from here."""

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, value)
        member._value_ = value
        member.__doc__ = meaning
        return member

    DONE = 0, "done; nothing failed (secrets: nothing changed)"
    FAILED = 1, "at least one object, secret or database failed; the rest was done"
    SKIPPED = 2, "something was skipped with a warning, or the command line is wrong"
    CHANGED = 3, "secrets apply: at least one file changed, none failed"
    REFUSED = 4, "refused before acting: a guard (delete cap, empty source, username mismatch, second rotator)"
    MISCONFIGURED = 5, "configuration, credentials or the source itself are missing or wrong"
    LOCKED = 6, "another run holds the lock"
    INTERRUPTED = 130, "interrupted (Ctrl-C); what was begun is finished by the next run"
    TERMINATED = 143, "terminated (SIGTERM); what was begun is finished by the next run"


class Error(Exception):
    """Anything keepstep reports to its user: a message, and a hint what to do next."""

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
    """The command line asks for something that there is not, or not there. Repeating does not help."""

    exit_code = ExitCode.SKIPPED


class Denied(Error):
    """The other side knows who we are, or refuses to, and says no. Repeating does not help."""

    exit_code = ExitCode.MISCONFIGURED


class NotFound(Error):
    """The thing named is not there (on OCI: or may not be seen)."""

    exit_code = ExitCode.MISCONFIGURED


class Conflict(Error):
    """Somebody else changed the thing since we looked (an ETag or precondition failed). Look again."""


class Corrupt(Error):
    """What arrived is not what was promised: a checksum or a length differs. Safe to fetch again."""


class Unsupported(Error):
    """The store cannot do this, or cannot hold this name."""


class Transient(Error):
    """A fault that passes: timeouts, cut connections, 429, 5xx. The only error that is retried.

    ``retry_after`` is the server's wish in seconds, when it gave one.
    """

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Refused(Error):
    """A guard said no before anything was lost."""

    exit_code = ExitCode.REFUSED


class Locked(Error):
    """Another run of the same job is under way."""

    exit_code = ExitCode.LOCKED


_UNWRITABLE = {
    errno.EROFS: "it is on a read-only file system: mount a folder that can be written there, or name another one",
    errno.EACCES: "give it to the user that keepstep runs as, or name another folder",
    errno.EPERM: "give it to the user that keepstep runs as, or name another folder",
    errno.ENOSPC: "free some space there, or name another folder",
    errno.EDQUOT: "free some space there, or name another folder",
}
_NO_TEMPORARY = "No usable temporary directory"
"""As Python's tempfile says it, under the number of a missing file."""


def unwritable(fault: OSError) -> ConfigError | None:
    """The error for a place that may not be used or is full; None for any other fault of the system."""
    if _NO_TEMPORARY in str(fault.strerror):
        hint = "mount a folder that can be written at /tmp, or name one: TMPDIR=/path"
        return ConfigError("no folder for temporary files can be written", hint=hint)
    hint = _UNWRITABLE.get(fault.errno or 0, "")
    if not hint or not fault.filename:
        return None
    return ConfigError(f"cannot use {os.fsdecode(fault.filename)}: {fault.strerror}", hint=hint)

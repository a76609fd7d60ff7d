"""Keys that differ only in case: downloads of them meet in one file where the file system minds no case.

The AWS CLI's ``--case-conflict`` (awscli/customizations/s3/syncstrategy/caseconflict.py): a key that is only at the
source is in conflict when one of the same lower-case form has been taken in this run, or when its file is there
all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from keepstep.errors import Error
from keepstep.objects.plan import Reason, SyncDecision


class OnConflict(Enum):
    """What becomes of the later one."""

    IGNORE = "ignore"
    SKIP = "skip"
    WARN = "warn"
    ERROR = "error"


class CaseGuard:
    """Remembers the lower-case form of what is taken; costs nothing with ``IGNORE``."""

    def __init__(self, policy: OnConflict, exists: Callable[[str], bool], warn: Callable[[str], None]) -> None:
        self._policy = policy
        self._exists = exists
        self._warn = warn
        self._taken: set[str] = set()

    def admit(self, decision: SyncDecision) -> bool:
        """Whether the object may be downloaded. Raises :class:`Error` where a conflict is to end the run."""
        if (
            self._policy is OnConflict.IGNORE
            or decision.source is None
            or decision.reason is not Reason.SOURCE_ONLY
        ):
            return True  # what is at both sides has a file of its own
        key = decision.source.key
        lower = key.lower()
        is_conflict = lower in self._taken or self._exists(key)
        if is_conflict and self._policy is OnConflict.ERROR:
            raise Error(
                f"{key}: a file whose name differs only in case is there, or is being downloaded",
                hint="rename one of the objects, or leave it out: --exclude, --case-conflict skip",
            )
        if is_conflict:
            verb = "skipped" if self._policy is OnConflict.SKIP else "downloaded anyway"
            self._warn(f"{key} is {verb}: a file whose name differs only in case is there, or is being downloaded")
        if is_conflict and self._policy is OnConflict.SKIP:
            return False
        self._taken.add(lower)
        return True

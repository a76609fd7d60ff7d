"""Whether a file is in step, decided from what there is and what is wanted; touches nothing.

====================================  ========  ============  =======
there is                              content   mode, owner   verdict
====================================  ========  ============  =======
nothing                                                       create
a link                                                        replace
a folder, pipe, socket or device                              refuse
a file                                differs   any           replace
a file                                equal     other         replace
a file                                equal     as wanted     keep
====================================  ========  ============  =======
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as field_
from enum import StrEnum
from typing import NamedTuple

from keepstep.secrets.delivery import FileAttributes


class Is(StrEnum):
    """What stands under a name."""

    NOTHING = "nothing"
    FILE = "a file"
    LINK = "a link"
    FOLDER = "a folder"
    PIPE = "a named pipe"
    SOCKET = "a socket"
    DEVICE = "a device"


@dataclass(frozen=True, slots=True)
class Observed:
    """What there is. Content, mode and owner are a file's."""

    kind: Is
    content: bytes = field_(default=b"", repr=False)
    mode: int = 0
    uid: int = 0
    gid: int = 0


class FileChange(StrEnum):
    KEEP = "keep"
    CREATE = "create"
    REPLACE = "replace"
    REFUSE = "refuse"


class FileDecision(NamedTuple):
    verdict: FileChange
    reason: str


def decide(observed: Observed, content: bytes, attributes: FileAttributes) -> FileDecision:
    """The table above. Reasons are fit for people, and hold nothing of the content."""
    match observed.kind:
        case Is.NOTHING:
            return FileDecision(FileChange.CREATE, "it was missing")
        case Is.LINK:
            return FileDecision(FileChange.REPLACE, "a link stood there")
        case Is.FILE:
            return _of_file(observed, content, attributes)
        case kind:
            return FileDecision(FileChange.REFUSE, f"{kind} stands there")


def _of_file(observed: Observed, content: bytes, attributes: FileAttributes) -> FileDecision:
    if observed.content != content:
        return FileDecision(FileChange.REPLACE, "the secret has changed")
    if observed.mode != attributes.mode:
        return FileDecision(FileChange.REPLACE, f"its mode was {observed.mode:04o}")
    if attributes.uid not in (None, observed.uid) or attributes.gid not in (None, observed.gid):
        return FileDecision(FileChange.REPLACE, f"its owner was {observed.uid}:{observed.gid}")
    return FileDecision(FileChange.KEEP, "it is in step")

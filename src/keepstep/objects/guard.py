"""What must hold before the first object is deleted. Pure: it is asked once, when everything is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from keepstep.errors import ConfigError

_CAP = re.compile(r"(?P<count>\d{1,18})|(?P<percent>\d{1,3}(\.\d{1,9})?) ?%", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that one run may delete: a number of objects, or a share of what is in scope at the target."""

    count: int | None = None
    percent: Decimal = Decimal(50)
    """Counts where ``count`` is None. Decimal, so that exactly the cap is exactly the cap."""
    is_default: bool = True

    @classmethod
    def parse(cls, text: str) -> Cap:
        """Reads ``20`` or ``20%``. Raises :class:`ConfigError`."""
        found = _CAP.fullmatch(text.strip())
        share = Decimal(found["percent"]) if found and found["percent"] else None
        if not found or (share is not None and share > 100):
            raise ConfigError(
                f"--max-delete {text}: neither a number of objects nor a percentage",
                hint="write it as 100 or as 25%",
            )
        if share is not None:
            return cls(percent=share, is_default=False)
        return cls(count=int(found["count"]), is_default=False)

    def allows(self, deletes: int, in_scope: int) -> bool:
        """Exactly the cap is allowed, one more is not."""
        if self.count is not None:
            return deletes <= self.count
        return deletes * 100 <= self.percent * in_scope

    def __str__(self) -> str:
        return f"{self.percent}%" if self.count is None else str(self.count)


@dataclass(frozen=True, slots=True)
class Objection:
    """Why nothing may be deleted."""

    message: str
    hint: str
    is_refusal: bool
    """True for a guard that refused (exit 4); False for a listing that broke (exit 1)."""


def object_to(
    *,
    deletes: int,
    source_in_scope: int,
    target_in_scope: int,
    uncertified: str,
    cap: Cap,
    allow_empty_source: bool,
) -> Objection | None:
    """None when ``deletes`` objects may be deleted.

    ``uncertified`` names the side whose listing is not complete, or is empty. The counts are of keys that the
    filters leave in scope. An empty source that is expressly allowed means that everything may go, so the default
    cap gives way to it; a cap that was asked for does not.
    """
    if not deletes:
        return None
    if uncertified:
        return Objection(
            f"{deletes} deletes withheld: the listing of the {uncertified} is not complete",
            "fix what is reported above and run again",
            is_refusal=False,
        )
    if not source_in_scope and not allow_empty_source:
        return Objection(
            f"refused to delete all {deletes} objects: the source is empty",
            "check the source; if it is meant to be empty, add --allow-empty-source",
            is_refusal=True,
        )
    is_waived = not source_in_scope and cap.is_default
    if not is_waived and not cap.allows(deletes, target_in_scope):
        share = deletes * 100 / target_in_scope
        return Objection(
            f"refused to delete {deletes} of {target_in_scope} objects ({share:.4g}%): the cap is {cap}",
            f"check the source and the filters; if it is right, add --max-delete {deletes}",
            is_refusal=True,
        )
    return None


def object_to_places(inside: str) -> Objection:
    """The source is the folder ``inside`` of the target, and deleting was asked for: its objects would go first."""
    return Objection(
        f"refused to delete: the source is the folder {inside} of the target, and its own objects would be deleted",
        f"name another target, or leave the folder out: --exclude '{inside}*'",
        is_refusal=True,
    )

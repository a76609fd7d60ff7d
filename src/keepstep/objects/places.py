"""What follows for a run from how its source and its target lie to each other.

=========================  ========================================================================================
the target is              then
=========================  ========================================================================================
apart from the source      nothing
a folder of the source     it is left out of the source, and it is reported: each run would copy the last one's
copies the folder that holds it   with ``--delete`` the run is refused unless the filters leave the source out;
without,
                           what would be written into the source is skipped by name
=========================  ========================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from glob import escape

from keepstep.objects.filters import Filters, Rule
from keepstep.objects.guard import Objection, object_to_places
from keepstep.stores.address import Address
from keepstep.stores.places import way_from


@dataclass(frozen=True, slots=True)
class SyncPlaces:
    """The two places of a run."""

    target_in_source: str | None
    """The target's prefix in the source; None when it is not in it, or all of it."""
    source_in_target: str | None
    """Likewise."""

    @classmethod
    def of(cls, source: Address, target: Address) -> SyncPlaces:
        return cls(way_from(source, target) or None, way_from(target, source) or None)

    @property
    def left_out(self) -> str:
        """What users should know before the run; empty when there is nothing."""
        if self.target_in_source:
            return f"the target is the folder {self.target_in_source} of the source, and is left out of it"
        return ""

    def source_filters(self, filters: Filters) -> Filters:
        return _without(filters, self.target_in_source)

    def target_filters(self, filters: Filters) -> Filters:
        return _without(filters, self.source_in_target)

    def objection(self, filters: Filters, *, delete: bool) -> Objection | None:
        """Why the run is refused, if it is."""
        inside = self.source_in_target
        return object_to_places(inside) if inside and delete and filters.may_reach(inside) else None

    def is_in_source(self, key: str) -> bool:
        """Whether an object of this key would be written into the source."""
        return bool(self.source_in_target) and key.startswith(self.source_in_target or "")


def _without(filters: Filters, prefix: str | None) -> Filters:
    """The filters, and beneath ``prefix`` nothing."""
    return Filters([*filters.rules, Rule(False, escape(prefix) + "*")]) if prefix else filters

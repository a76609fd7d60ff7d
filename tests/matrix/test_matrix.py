"""Whole syncs on every server: what works where."""

from __future__ import annotations

from tests.matrix.capabilities import CAPABILITIES
from tests.matrix.expectations import LACKS
from tests.matrix.place import Place


def test_every_store(place: Place, capability: str) -> None:
    """A store does what it is listed with; what it cannot do is told, and costs nothing that was there."""
    said = CAPABILITIES[capability][1](place)
    expected = LACKS.get(place.name, {}).get(capability)
    assert (said is None) == (expected is None), said or "it works now: take it out of the expectations"

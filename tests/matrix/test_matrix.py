"""Whole syncs on every server: what works where."""

from __future__ import annotations

from tests.matrix.capabilities import CAPABILITIES
from tests.matrix.expectations import LACKS, SERVERS
from tests.matrix.page import PAGE, page, results
from tests.matrix.place import Place
from tests.matrix.recording import record


def test_every_store(place: Place, capability: str) -> None:
    """A store does what it is listed with; what it cannot do is reported, and costs nothing that was there."""
    said = CAPABILITIES[capability][1](place)
    record(place.name, capability, said)
    expected = LACKS.get(place.name, {}).get(capability)
    assert (said is None) == (expected is None), said or "it works now: take it out of the expectations"


def test_the_page_is_what_was_found() -> None:
    """docs/compatibility.md says what the last whole run found, and that is what every run expects."""
    found = results()
    assert set(SERVERS) <= found.keys()
    for name, store in found.items():
        assert store["said"].keys() == CAPABILITIES.keys(), name
        lacking = {capability for capability, said in store["said"].items() if said}
        assert lacking == LACKS.get(name, {}).keys(), name
    assert PAGE.read_text() == page(found), (
        "python -m tests.matrix.page writes it, make compatibility tries all of it again"
    )

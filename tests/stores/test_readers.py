"""No listing is read in two ways, and none that is wrong is taken for a page."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.stores.readers import COUNT, look, rendered_with

FULL = bool(os.environ.get("FULL"))


@pytest.mark.timeout(900)
def test_mutated_documents_are_read_alike_or_refused() -> None:
    """Of thousands of listings with a few wrong turns both readers make the same, within a gigabyte."""
    count = COUNT if FULL else 4000
    done = subprocess.run(
        [sys.executable, "-m", "tests.stores.readers", str(count)], capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("no difference\n"), done.stderr[-2000:]


BOMBS = {
    "an entity that grows": '<!DOCTYPE x [<!ENTITY a "{}">]>'.format("boom" * 1000),
    "a document type alone": "<!DOCTYPE x>",
    "nested elements": "<a>" * 2_000_000,
    "many elements": "<a/>" * 7_000_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused(bomb: str) -> None:
    """What multiplies, nests without end or is larger than any listing is refused before it costs memory."""
    outcome = look(rendered_with(BOMBS[bomb]))
    assert outcome == "neither"

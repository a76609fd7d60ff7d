"""Whatever the keys, the filters and the way two stores list: a sync does what the rules say, and nothing else."""

from __future__ import annotations

import asyncio
import os

from tests.model.campaign import campaign

CASES = 5000 if os.environ.get("FULL") else 300


def test_syncs_do_what_the_plain_rules_say() -> None:
    """Hundreds of syncs over the wire end as the model says: objects, counts, exit code. Broken ones keep all."""
    endings = asyncio.run(campaign(CASES, 1))
    assert set(endings) == {"exit 0", "exit 2", "exit 4", "broken"}

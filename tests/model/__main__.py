"""See :mod:`tests.model`."""

from __future__ import annotations

import asyncio
import sys

from tests.model.campaign import campaign

count, seed = (int(sys.argv[n]) if sys.argv[n:] else default for n, default in ((1, 5000), (2, 0)))
for ending, times in sorted(asyncio.run(campaign(count, seed)).items()):
    print(f"{times:6,} {ending}")

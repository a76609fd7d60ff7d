"""docs/compatibility.md, as the results of the matrix make it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from tests.matrix.capabilities import CAPABILITIES
from tests.matrix.expectations import LACKS
from tests.matrix.twists import REFUSED, USABLE
from tests.twisting import MODES


class Result(TypedDict):
    version: str
    said: dict[str, str | None]
    """By capability; None where it works."""


RESULTS = Path(__file__).with_name("results.json")
"""By store."""
PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
TITLES = {
    "localcloud": "localcloud",
    "moto": "moto",
    "seaweedfs": "SeaweedFS",
    "localbucket": "LocalBucket",
    "ministack": "MiniStack",
    "rclone": "rclone serve s3",
    "s3rver": "S3rver",
    "ceph": "Ceph RGW",
}


def results() -> dict[str, Result]:
    return json.loads(RESULTS.read_text())  # type: ignore[no-any-return]


def page(found: dict[str, Result]) -> str:
    """The whole page."""
    stores = [name for name in TITLES if name in found]
    notes: list[str] = []
    rows = ["| | " + " | ".join(TITLES[name] for name in stores) + " |", "|---" * (len(stores) + 1) + "|"]
    rows += [_row(words, name, stores, found, notes) for name, (words, _) in CAPABILITIES.items()]
    versions = [f"| {TITLES[name]} | {found[name]['version']} |" for name in stores]
    return _TEXT.format(
        versions="\n".join(versions),
        table="\n".join(rows),
        notes="\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1)),
        usable="\n".join(_simulated(mode for mode in MODES if mode in USABLE)),
        refused="\n".join(_simulated(mode for mode in MODES if mode in REFUSED)),
    )


def _row(words: str, name: str, stores: list[str], found: dict[str, Result], notes: list[str]) -> str:
    cells = []
    for store in stores:
        reason = LACKS.get(store, {}).get(name) if found[store]["said"][name] else None
        if reason is None:
            cells.append("yes")
        else:
            if reason not in notes:
                notes.append(reason)
            cells.append(f"no ({notes.index(reason) + 1})")
    return f"| {words} | " + " | ".join(cells) + " |"


def _simulated(modes: Iterable[str]) -> list[str]:
    return [f"* {' '.join((MODES[mode].__doc__ or '').split())}" for mode in modes if not mode.startswith("oci-")]


_TEXT = """\
# Stores that keepstep works with

Whole syncs, real servers, every capability on each: `make compatibility` runs them and writes this page. AWS S3 and
OCI Object Storage themselves are not in the table, since they need an account; what keepstep sends to them and
reads from them follows their API references, and `localcloud` is the part of both that comes with keepstep.

No option is needed. What a store lacks is detected once per run, worked around where possible, and reported. What
cannot be done is refused or reported as failed; no data is lost.

| store | version |
|---|---|
{versions}

{table}

{notes}

`s3://` addresses reach them with `--endpoint-url` or `AWS_ENDPOINT_URL_S3`.

## What was simulated

Other stores, gateways and networks were simulated by a proxy that changes what a server answers. A sync through it,
up and down and with `--delete`, was compared with its report.

With these stores and networks everything arrives and every report is right:

{usable}

These are not supported. The run fails and names the reason, deletes nothing that the source has, and never reports
an object as transferred that was not:

{refused}
"""


if __name__ == "__main__":
    PAGE.write_text(page(results()))

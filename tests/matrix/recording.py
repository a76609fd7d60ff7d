"""What the matrix prints: one small file for each outcome, where ``MATRIX_RESULTS`` names a folder for them."""

from __future__ import annotations

import json
import os
from pathlib import Path


def record(store: str, what: str, said: str | None) -> None:
    if folder := os.environ.get("MATRIX_RESULTS"):
        (Path(folder) / f"{store}-{what}.json").write_text(json.dumps([store, what, said]))


def recorded(folder: Path) -> dict[str, dict[str, str | None]]:
    """By store and by what was tried."""
    found: dict[str, dict[str, str | None]] = {}
    for path in sorted(folder.glob("*.json")):
        store, what, said = json.loads(path.read_text())
        found.setdefault(store, {})[what] = said
    return found

"""The kinds of jobs, and the subcommand that runs each. Imports nothing, for hosts that start cold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """How a job is run."""

    name: str
    words: tuple[str, ...]
    """The subcommand."""
    serverless: tuple[str, ...] = ()
    """The subcommand on hosts without files, if it differs: secrets are then checked, but not written."""
    prints_report: bool = False
    """Whether its report is short, and worth logging."""
    takes_seconds: bool = False
    """Whether it accepts ``--seconds``, after which the platform ends it."""


_ALL = (
    Kind("sync", ("sync",)),
    Kind("secrets", ("secrets", "apply"), serverless=("secrets", "apply", "--dryrun")),
    Kind("rotate", ("rotate",), prints_report=True, takes_seconds=True),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}

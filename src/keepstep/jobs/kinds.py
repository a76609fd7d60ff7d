"""The kinds of jobs there are, and the subcommand that runs each. Hosts that start cold load this and no more."""

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
    """The same where there is no place for files, if it differs: secrets are then checked, and written nowhere."""
    prints_report: bool = False
    """Whether its report is short, and has what people want to see in a log."""
    takes_seconds: bool = False
    """Whether it takes ``--seconds``, after which the platform ends it."""


_ALL = (
    Kind("sync", ("sync",)),
    Kind("secrets", ("secrets", "apply"), serverless=("secrets", "apply", "--dryrun")),
    Kind("rotate", ("rotate",), prints_report=True, takes_seconds=True),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}

"""What a tick writes to the audit log: an intent before its first change, a result after its last.

The intent fails closed: where it cannot be written nothing is changed. A result that could not be written, because
the worker died or the log was away, is made up for: AWSPENDING stays on the new current version until it is.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keepstep.rotation.observe import Observation
from keepstep.rotation.rows import Decision

AppendEntry = Callable[[str, Mapping[str, Any]], Awaitable[object]]
"""Kind and facts of an entry."""


@dataclass
class AuditTrail:
    """The trail of one tick. Without a log ``append`` is None."""

    append: AppendEntry | None
    databases: tuple[str, ...]
    changes: list[str] = field(default_factory=list)
    """Rows that were done, in their order."""
    _is_open: bool = False
    """An intent was written, and no result yet."""

    async def intend(self, decision: Decision, observation: Observation) -> None:
        """Before every change; written before the first one of what is then told by one result."""
        if self.append and not self._is_open:
            facts = {"row": decision.row.code, "why": decision.why, "databases": [*self.databases]}
            await self.append("intent", _facts(observation) | facts)
        self._is_open = True

    async def conclude(self, outcome: str, observation: Observation, answers: Mapping[str, str]) -> None:
        """The result of what was intended; ``observed`` when another worker intended it and died."""
        if self.append:
            kind = "result" if self._is_open else "observed"
            databases = [{"name": name, "answer": answers.get(name, "not asked")} for name in self.databases]
            facts = {"outcome": outcome, "rows": [*self.changes], "databases": databases}
            await self.append(kind, _facts(observation) | facts)
        self._is_open = False
        self.changes = []

    @property
    def is_open(self) -> bool:
        return self._is_open


def _facts(observation: Observation) -> dict[str, Any]:
    stages = {
        "aws": {stage.lower(): str(id_) for stage, id_ in observation.primary_state.stages.items()},
        "oci": {stage.lower(): str(id_) for stage, id_ in observation.secondary_state.stages.items()},
    }
    current = observation.primary.current.credential
    return {
        "generation": current.gen,
        "username": current.username,
        "secrets": {"aws": observation.primary_state.id, "oci": observation.secondary_state.id},
        "versions": stages,
        "who": _who(),
        "host": socket.gethostname(),
    }


def _who() -> str:
    function = os.environ.get("AWS_LAMBDA_FUNCTION_NAME") or os.environ.get("FN_FN_ID")
    try:
        return function or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"

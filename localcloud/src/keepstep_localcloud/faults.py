"""Faults on request: what a test wants to go wrong, how often, and after how many successes.

``POST /_localcloud/faults`` sets one fault, ``GET`` lists them, ``DELETE`` clears them; nobody signs these calls.
Each server has its own list (the local AWS on its own port), so ``PutObject`` names one cloud's operation.

    {"operation": "ListObjects", "match": "/b/reports/", "after": 1, "times": 2, "do": {"status": 500}}

``operation``: the SDK's name of the call, or ``*``; where the SDK has none, ``X509Federation``, ``RefreshSession``,
``WorkloadToken``, ``GetInstanceMetadata``, ``GetInstanceIdentity``. ``match``: a regular expression searched in the
raw path and query. ``after``: let that many through first (default 0). ``times``: how often (default 1; null =
until cleared).
``do``: one or more of

==============  ==============================================================================================
``status``      answer this status instead of acting; ``code``, ``message``, ``headers`` (an object) go with it
``latency_ms``  wait before acting
``cut``         close the connection after this many bytes of the response's body
``stale``       true: answer from the state before the last write (listings, secrets)
``lose_reply``  true: act, then close the connection without a word
==============  ==============================================================================================
"""

from __future__ import annotations

import json
import re
import threading
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator


class Effect(BaseModel):
    """What happens to a request that a fault hits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int | None = Field(default=None, ge=200, le=599)
    code: str | None = None
    message: str | None = None
    headers: dict[str, str] = {}
    latency_ms: float = Field(default=0, ge=0)
    cut: int | None = Field(default=None, ge=0)
    stale: bool = False
    lose_reply: bool = False

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.latency_ms or self.stale or self.lose_reply) and self.status is self.cut is None:
            raise ValueError("do needs one of status, latency_ms, cut, stale, lose_reply")
        return self

    def error(self) -> tuple[int, str, str]:
        """Status, code and message of the answer when ``status`` is set."""
        status = self.status or 500
        code = self.code or CODES.get(status, "InternalServerError" if status >= 500 else "InvalidParameter")
        return status, code, self.message or "a fault was asked for"


CODES = {
    401: "NotAuthenticated",
    403: "NotAuthorized",
    404: "NotAuthorizedOrNotFound",
    409: "IncorrectState",
    412: "NoEtagMatch",
    429: "TooManyRequests",
    501: "NotImplemented",
    503: "ServiceUnavailable",
}
"""OCI's code for a status, where the fault names none ("API errors")."""


class Fault(BaseModel):
    """One fault and how often it has been met."""

    model_config = ConfigDict(extra="forbid")

    operation: str
    match: str | None = None
    after: int = Field(default=0, ge=0)
    times: int | None = Field(default=1, ge=1)
    do: Effect
    _seen: int = PrivateAttr(default=0)

    @field_validator("match")
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as exc:
            raise ValueError(f"not a regular expression: {exc}") from exc
        return value

    def hits(self, operation: str, target: str) -> bool:
        """Counts the request if it is meant, and says whether it is hit."""
        if self.operation not in ("*", operation) or (self.match and not re.search(self.match, target)):
            return False
        self._seen += 1
        return self._seen > self.after and (self.times is None or self._seen <= self.after + self.times)

    def report(self) -> dict[str, Any]:
        """The fault as it was set, with ``seen``: the requests that it has counted."""
        return {**self.model_dump(exclude_defaults=True), "seen": self._seen}


class Faults:
    """The faults of one server, in the order they were set; safe to use from several threads."""

    PATH = "/_localcloud/faults"

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def take(self, operation: str, target: str = "") -> Effect | None:
        """The effect of the first fault that hits this request; the faults after it do not count the request."""
        if not self._faults:
            return None
        with self._lock:
            return next((fault.do for fault in self._faults if fault.hits(operation, target)), None)

    def add(self, fault: object) -> None:
        """Adds a fault from its JSON. Raises ``ValueError`` with all that is wrong with it."""
        try:
            parsed = Fault.model_validate(fault)
        except ValidationError as exc:
            found = (f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors())
            raise ValueError("; ".join(found)) from exc
        with self._lock:
            self._faults.append(parsed)

    def serve(self, method: str, body: bytes) -> tuple[int, Any]:
        """Answers a request to :attr:`PATH` with a status and what its JSON body holds."""
        if method == "POST":
            try:
                self.add(json.loads(body))
            except ValueError as exc:
                return 400, {"code": "InvalidParameter", "message": str(exc)}
        elif method == "DELETE":
            self.clear()
        elif method != "GET":
            return 405, {"code": "MethodNotAllowed", "message": f"{method} is not GET, POST or DELETE"}
        return 200, self.report()

    def report(self) -> list[dict[str, Any]]:
        with self._lock:
            return [fault.report() for fault in self._faults]

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

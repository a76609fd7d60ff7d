"""A secret and its versions as an immutable value, which is also the document that is kept of it.

Stages are where the secret's pointers stand, so no two versions can ever hold the same one. A version that is none
of CURRENT, PREVIOUS and PENDING is DEPRECATED. Source: "Secret Versions and Rotation States".
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Any, TypeVar

from pydantic import Field

from keepstep_localcloud.vault.details import Described, ExpiryRule, ReuseRule, Time, Wire
from keepstep_localcloud.wire import ServiceError

RuleType = TypeVar("RuleType", ExpiryRule, ReuseRule)


def not_found() -> ServiceError:
    return ServiceError(404, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found.")


def digest(content: str) -> str:
    """SHA-256 of what the base64 stands for, in hex."""
    return hashlib.sha256(base64.b64decode(content)).hexdigest()


class Version(Wire):
    number: int
    content: str = Field(repr=False)
    """Base64, as it was sent."""
    created: Time
    name: str | None = None
    deletion: Time | None = None
    """When it will be deleted; set while it is pending deletion."""


class RetryToken(Wire):
    """The ``opc-retry-token`` that created the secret, and what else was sent with it."""

    token: str
    body: str
    """SHA-256 of the request's body, in hex."""


class Secret(Described):
    """One secret; ``model_dump_json`` and ``model_validate_json`` write and read its document."""

    id: str
    vault_id: str
    compartment_id: str
    key_id: str
    secret_name: str
    created: Time
    versions: tuple[Version, ...]
    """By rising number."""
    current: int
    latest: int
    """The number given last; its version may be gone."""
    previous: int | None = None
    pending: int | None = None
    state: str = "ACTIVE"
    """The lifecycle state once settled: ACTIVE, PENDING_DELETION or DELETED."""
    transient: str
    """The lifecycle state until ``settled``: CREATING, UPDATING, SCHEDULING_DELETION or CANCELLING_DELETION."""
    settled: Time
    deletion: Time | None = None
    is_rotating: bool = False
    revision: int = 1
    spent: frozenset[str] = frozenset()
    """Digests of contents whose versions are gone."""
    retry_token: RetryToken | None = None

    def lifecycle_state(self, now: datetime) -> str:
        return self.transient if now < self.settled else self.state

    def etag(self, now: datetime) -> str:
        """Another one after every change, settling included (RFC 9110 section 8.8.3)."""
        seen = f"{self.id} {self.revision} {self.lifecycle_state(now)}"
        return hashlib.sha256(seen.encode()).hexdigest()

    def version(self, number: int) -> Version:
        """Raises 404 ``NotAuthorizedOrNotFound``."""
        for version in self.versions:
            if version.number == number:
                return version
        raise not_found()

    def stages(self, number: int) -> list[str]:
        holders = {"CURRENT": self.current, "PENDING": self.pending, "PREVIOUS": self.previous}
        held = [stage for stage, holder in holders.items() if holder == number] or ["DEPRECATED"]
        return [*held, "LATEST"] if number == self.latest else held

    def rule(self, kind: type[RuleType]) -> RuleType | None:
        return next((rule for rule in self.secret_rules or () if isinstance(rule, kind)), None)

    def expiry(self, version: Version) -> datetime | None:
        rule = self.rule(ExpiryRule)
        return rule.expiry(version.created) if rule else None

    def at(self, now: datetime) -> Secret:
        """The secret after what time alone does to it: scheduled deletions whose time has come."""
        if self.state == "PENDING_DELETION" and self.deletion and self.deletion <= now:
            return self.revised(state="DELETED", versions=(), spent=frozenset())
        gone = {version.number for version in self.versions if version.deletion and version.deletion <= now}
        if not gone or self.state == "DELETED":
            return self
        kept = tuple(version for version in self.versions if version.number not in gone)
        spent = {digest(version.content) for version in self.versions if version.number in gone}
        return self.revised(versions=kept, spent=self.spent | spent)

    def revised(self, **changes: Any) -> Secret:
        """The next revision. Fields are not validated again: the caller has."""
        return self.model_copy(update=changes | {"revision": self.revision + 1})

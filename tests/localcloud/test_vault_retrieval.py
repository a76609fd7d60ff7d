"""When the contents of a secret can be read, as its rules, its lifecycle and faults have it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keepstep_localcloud.vault import MemoryDocuments, Secrets, routes
from keepstep_localcloud.wire import Principal, Request, Response, ServiceError

NOBODY = Principal("", "", "nobody")
PENDING_DELETION: tuple[str, dict[str, str]] = ("ScheduleSecretDeletion", {})
MISSING = (404, "NotAuthorizedOrNotFound")


class SetClock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


async def answered(answer: Awaitable[Response]) -> Response:
    return await answer


def content(text: str) -> dict[str, str]:
    return {"contentType": "BASE64", "content": base64.b64encode(text.encode()).decode()}


class Vault:
    """The routes of a vault with one secret, called without a wire, at a time that is set."""

    def __init__(self, settle: timedelta = timedelta(0), **details: Any) -> None:
        self.clock = SetClock()
        state = Secrets(MemoryDocuments(), self.clock, settle=settle)
        self.handlers = {route.operation: route.handler for route in routes(state)}
        created = {"compartmentId": "c", "vaultId": "v", "keyId": "k", "secretName": "db"}
        made = self.call("CreateSecret", created | {"secretContent": content("one")} | details)
        self.id = made["id"]

    def call(self, operation: str, body: Any = None, *, stale: bool = False, **parameters: str) -> Any:
        query = {"compartmentId": "c", "secretName": "db", "vaultId": "v"} | parameters
        request = Request("", "", query, {}, json.dumps(body or {}).encode(), NOBODY, stale=stale)
        path = (
            {} if operation in ("CreateSecret", "ListSecrets", "GetSecretBundleByName") else {"secret_id": self.id}
        )
        return asyncio.run(answered(self.handlers[operation](request, **path))).body

    def read(self, **parameters: Any) -> str | tuple[int, str]:
        """The content, or the status and code of the refusal; the same by id and by name."""
        by_id, by_name = (self._read(call, **parameters) for call in ("GetSecretBundle", "GetSecretBundleByName"))
        assert by_id == by_name
        return by_id

    def _read(self, operation: str, **parameters: Any) -> str | tuple[int, str]:
        try:
            bundle = self.call(operation, **parameters)
        except ServiceError as error:
            return error.status, error.code
        return base64.b64decode(bundle["secretBundleContent"]["content"]).decode()


BLOCKED = {
    "ruleType": "SECRET_EXPIRY_RULE",
    "secretVersionExpiryInterval": "P2D",
    "isSecretContentRetrievalBlockedOnExpiry": True,
}
OPEN = BLOCKED | {"isSecretContentRetrievalBlockedOnExpiry": False}


@pytest.mark.parametrize(
    ("rule", "days", "answer"),
    [(BLOCKED, 1.99, "one"), (BLOCKED, 2, (409, "IncorrectState")), (OPEN, 2, "one")],
)
def test_an_expired_version(rule: dict[str, Any], days: float, answer: Any) -> None:
    """Expired content is refused when the rule says so, and only then."""
    vault = Vault(secretRules=[rule])
    vault.clock.time += timedelta(days=days)
    assert vault.read() == answer


def test_new_content_ends_the_expiry() -> None:
    """The timer starts again with new content; the older version stays expired."""
    vault = Vault(secretRules=[BLOCKED])
    vault.clock.time += timedelta(days=2)
    vault.call("UpdateSecret", {"secretContent": content("two")})
    assert vault.read() == "two"
    assert vault.read(versionNumber="1") == (409, "IncorrectState")


def test_a_rule_without_block_opens_it_again() -> None:
    """An expired secret can be read once its rule no longer blocks."""
    vault = Vault(secretRules=[BLOCKED])
    vault.clock.time += timedelta(days=2)
    vault.call("UpdateSecret", {"secretRules": [OPEN]})
    assert vault.read() == "one"


LIFECYCLE = [
    ("CREATING", [], MISSING, "one"),
    ("UPDATING", [("UpdateSecret", {"secretContent": content("two")})], "two", "two"),
    ("SCHEDULING_DELETION", [PENDING_DELETION], MISSING, MISSING),
    ("CANCELLING_DELETION", [PENDING_DELETION, ("CancelSecretDeletion", {})], MISSING, "one"),
]


@pytest.mark.parametrize(("state", "calls", "at_once", "settled"), LIFECYCLE, ids=[row[0] for row in LIFECYCLE])
def test_lifecycle(state: str, calls: list[tuple[str, Any]], at_once: Any, settled: Any) -> None:
    """Content can be read while a secret is ACTIVE or UPDATING, and is not found otherwise."""
    settle = timedelta(seconds=5)
    vault = Vault(settle)
    for operation, body in calls:
        vault.clock.time += settle
        vault.call(operation, body)
    assert vault.call("GetSecret")["lifecycleState"] == state
    assert vault.read() == at_once
    vault.clock.time += settle
    assert vault.read() == settled


def test_a_deleted_secret_is_not_found() -> None:
    """When its time has come, a secret is shown as DELETED, and its content is gone."""
    vault = Vault()
    vault.call(*PENDING_DELETION)
    vault.clock.time += timedelta(days=30)
    assert vault.read() == MISSING
    assert vault.call("GetSecret")["lifecycleState"] == "DELETED"
    assert vault.call("ListSecretVersions") == []


def test_every_read_can_be_stale() -> None:
    """Each read of both APIs answers as of before the last write when a fault asks for that."""
    vault = Vault()
    vault.call("UpdateSecret", {"secretContent": content("two"), "description": "new"})
    assert vault.read(stale=True) == "one"
    assert vault.call("GetSecret", stale=True)["currentVersionNumber"] == 1
    assert len(vault.call("ListSecretVersions", stale=True)) == 1
    assert len(vault.call("ListSecretBundleVersions", stale=True)) == 1
    [summary] = vault.call("ListSecrets", stale=True)
    assert "description" not in summary

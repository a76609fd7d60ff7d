"""Retention rules: what must not be deleted or overwritten before its time.

A rule holds for each object from its ``timeModified`` on; a rule without duration holds until it is deleted. Locked
rules can only become longer. Source: "Using Retention Rules to Preserve Data".
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from keepstep_localcloud.objectstorage import times
from keepstep_localcloud.objectstorage.buckets import Buckets
from keepstep_localcloud.objectstorage.conditions import check_change
from keepstep_localcloud.objectstorage.problems import invalid, retained
from keepstep_localcloud.objectstorage.stored import StoredObject, new_etag
from keepstep_localcloud.storage import Documents
from keepstep_localcloud.wire import Request, Response, Route, ServiceError

DAYS = {"DAYS": 1, "YEARS": 365}


class Retention:
    """The rules of every bucket, and the handlers that change them."""

    def __init__(self, documents: Documents, buckets: Buckets) -> None:
        self._documents = documents
        self._buckets = buckets
        self._rules: dict[int, dict[str, dict[str, Any]]] = {}
        for document in documents.all():
            self._rules.setdefault(document["bucket"], {})[document["rule"]["id"]] = document["rule"]

    def check(self, stored: StoredObject | None) -> None:
        """Raises 409 when a rule protects the object."""
        rules = self._rules.get(stored.bucket) if stored else None
        if not stored or not rules:
            return
        age = datetime.now(UTC) - datetime.fromisoformat(stored.modified)
        if any(duration is None or age < duration for duration in map(_duration, rules.values())):
            raise retained(stored.name)

    def routes(self) -> list[Route]:
        every = "/n/{namespace}/b/{bucket}/retentionRules"
        one = f"{every}/{{rule}}"
        return [
            Route("CreateRetentionRule", "POST", every, self.create),
            Route("ListRetentionRules", "GET", every, self.list),
            Route("GetRetentionRule", "GET", one, self.get),
            Route("UpdateRetentionRule", "PUT", one, self.update),
            Route("DeleteRetentionRule", "DELETE", one, self.delete),
        ]

    async def create(self, request: Request, namespace: str, bucket: str) -> Response:
        number = self._buckets.find(namespace, bucket, writes=True).number
        moment = times.now()
        rule = {
            "id": str(uuid.uuid4()),
            "timeCreated": moment,
            "timeModified": moment,
            **_details(request.document()),
        }
        return self._save(number, rule)

    async def list(self, request: Request, namespace: str, bucket: str) -> Response:
        rules = self._rules.get(self._buckets.find(namespace, bucket).number, {})
        return Response(body={"items": list(rules.values())})

    async def get(self, request: Request, namespace: str, bucket: str, rule: str) -> Response:
        found = self._find(self._buckets.find(namespace, bucket).number, rule)
        return Response(body=found, headers={"etag": found["etag"]})

    async def update(self, request: Request, namespace: str, bucket: str, rule: str) -> Response:
        number = self._buckets.find(namespace, bucket, writes=True).number
        found = self._find(number, rule)
        check_change(request.headers, found["etag"], rule)
        new = {**found, **_details({**found, **request.document()}), "timeModified": times.now()}
        if _is_locked(found) and (new["timeRuleLocked"] != found["timeRuleLocked"] or _is_shorter(new, found)):
            raise ServiceError(409, "RetentionRuleLocked", "A locked rule can only become longer")
        return self._save(number, new)

    async def delete(self, request: Request, namespace: str, bucket: str, rule: str) -> Response:
        number = self._buckets.find(namespace, bucket, writes=True).number
        found = self._find(number, rule)
        check_change(request.headers, found["etag"], rule)
        if _is_locked(found):
            raise ServiceError(409, "RetentionRuleLocked", "A locked rule cannot be deleted")
        self._documents.delete(rule)
        del self._rules[number][rule]
        return Response(204)

    def _find(self, bucket: int, rule: str) -> dict[str, Any]:
        found = self._rules.get(bucket, {}).get(rule)
        if found is None:
            raise ServiceError(404, "RetentionRuleNotFound", f"The retention rule '{rule}' does not exist")
        return found

    def _save(self, bucket: int, rule: dict[str, Any]) -> Response:
        rule["etag"] = new_etag()
        self._documents.put(rule["id"], {"bucket": bucket, "rule": rule})
        self._rules.setdefault(bucket, {})[rule["id"]] = rule
        return Response(body=rule, headers={"etag": rule["etag"]})


def _details(document: dict[str, Any]) -> dict[str, Any]:
    details = {name: document.get(name) for name in ("displayName", "duration", "timeRuleLocked")}
    amount = details["duration"]
    if amount and (amount.get("timeUnit") not in DAYS or not isinstance(amount.get("timeAmount"), int)):
        raise invalid("duration has a timeAmount and a timeUnit of DAYS or YEARS")
    return details


def _duration(rule: dict[str, Any]) -> timedelta | None:
    amount = rule["duration"]
    return timedelta(days=amount["timeAmount"] * DAYS[amount["timeUnit"]]) if amount else None


def _is_locked(rule: dict[str, Any]) -> bool:
    locked = rule["timeRuleLocked"]
    return bool(locked) and datetime.fromisoformat(locked) <= datetime.now(UTC)


def _is_shorter(new: dict[str, Any], old: dict[str, Any]) -> bool:
    after, before = _duration(new), _duration(old)
    return after is not None and (before is None or after < before)

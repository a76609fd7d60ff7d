"""Notifications (API 20181201) and Monitoring (API 20180401), as far as programs speak to them.

Nothing is delivered: what is published is appended to ``DIR/notifications.jsonl``, what is measured to
``DIR/metrics.jsonl``, one JSON object a line.

Source: ``oci.ons`` and ``oci.monitoring``; the rules for metrics are PostMetricData's.
"""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from keepstep_localcloud.storage import Documents
from keepstep_localcloud.wire import Request, Response, Route, ServiceError

_NAMESPACE = re.compile(r"(?!oci_|oracle_)[a-z][a-z0-9_]*[a-z0-9]")
_EARLIEST, _LATEST = timedelta(hours=2), timedelta(minutes=10)
_MOST = 50
"""Metric streams in one request."""
_LARGEST = 64 << 10
"""Bytes of a message."""


def routes(topics: Documents, folder: Path, region: str) -> list[Route]:
    notifications, monitoring = Notifications(topics, folder, region), Monitoring(folder)
    return [
        Route("CreateTopic", "POST", "/topics", notifications.create),
        Route("GetTopic", "GET", "/topics/{topic_id}", notifications.get),
        Route("PublishMessage", "POST", "/topics/{topic_id}/messages", notifications.publish),
        Route("PostMetricData", "POST", "/metrics", monitoring.post),
    ]


class Notifications:
    """Topics, and what was published to them."""

    def __init__(self, topics: Documents, folder: Path, region: str) -> None:
        self._topics = topics
        self._log = folder / "notifications.jsonl"
        self._region = region

    async def create(self, request: Request) -> Response:
        details = request.document()
        name, compartment = details.get("name"), details.get("compartmentId")
        if not name or not compartment:
            raise ServiceError(400, "MissingParameter", "name and compartmentId are required")
        if any(topic["name"] == name for topic in self._topics.all()):
            raise ServiceError(409, "IncorrectState", f"there is a topic {name}")
        topic_id = f"ocid1.onstopic.oc1.{self._region}.{uuid.uuid4().hex}"
        topic = {
            "topicId": topic_id,
            "name": name,
            "compartmentId": compartment,
            "lifecycleState": "ACTIVE",
            "apiEndpoint": "",
            "timeCreated": _now(),
        }
        self._topics.put(topic_id, topic)
        return Response(201, topic)

    async def get(self, request: Request, topic_id: str) -> Response:
        return Response(body=self._topic(topic_id))

    async def publish(self, request: Request, topic_id: str) -> Response:
        self._topic(topic_id)
        details = request.document()
        if not isinstance(details.get("body"), str) or not details["body"]:
            raise ServiceError(400, "InvalidParameter", "body is required")
        if len(request.body) > _LARGEST:
            raise ServiceError(413, "PayloadTooLarge", "a message has at most 64 KiB")
        message_id, now = str(uuid.uuid4()), _now()
        told = {"topicId": topic_id, "title": details.get("title"), "body": details["body"], "time": now}
        _append(self._log, {**told, "principal": request.principal.kind})
        return Response(202, {"messageId": message_id, "timeStamp": now})

    def _topic(self, topic_id: str) -> Any:
        topic = self._topics.get(topic_id)
        if topic is None:
            raise ServiceError(
                404, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found."
            )
        return topic


class Monitoring:
    """Metrics that programs post."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "metrics.jsonl"

    async def post(self, request: Request) -> Response:
        data = request.document().get("metricData")
        if not isinstance(data, list) or not 0 < len(data) <= _MOST:
            raise ServiceError(400, "InvalidParameter", f"metricData has 1 to {_MOST} streams")
        now = datetime.now(UTC)
        for datum in data:
            _check(datum, now)
        for datum in data:
            _append(self._log, {**datum, "principal": request.principal.kind})
        return Response(body={"failedMetricsCount": 0, "failedMetrics": []})


def namespace_in(request: Request) -> str:
    """The namespace that all data of a PostMetricData are in; empty where there are several."""
    data = request.document().get("metricData")
    found = {str(datum.get("namespace")) for datum in data or () if isinstance(datum, dict)}
    return found.pop() if len(found) == 1 else ""


def _check(datum: Any, now: datetime) -> None:
    """Raises 400 ``InvalidParameter`` for what Monitoring refuses."""
    try:
        is_right = (
            _NAMESPACE.fullmatch(datum["namespace"])
            and datum["compartmentId"]
            and re.fullmatch(r"[A-Za-z][A-Za-z0-9._$-]{0,254}", datum["name"])
            and 0 < len(datum["dimensions"]) <= 20
            and all(text and len(text) <= 256 for text in datum["dimensions"].values())
            and datum["datapoints"]
        )
        times = [datetime.fromisoformat(each["timestamp"]) for each in datum["datapoints"]]
        is_in_time = all(now - _EARLIEST < time < now + _LATEST for time in times)
        [float(each["value"]) for each in datum["datapoints"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise ServiceError(400, "InvalidParameter", f"not a metric: {exc}") from exc
    if not is_right or not is_in_time:
        raise ServiceError(400, "InvalidParameter", "not a metric, or one whose time is too far away")


def _append(log: Path, line: dict[str, Any]) -> None:
    with log.open("a") as out:
        out.write(json.dumps(line) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

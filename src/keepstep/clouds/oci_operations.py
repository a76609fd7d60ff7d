"""What OCI's services for operators are told: messages for topics of Notifications, metrics for Monitoring.

Sources: "PublishMessage" and "GetTopic" (Notifications API 20181201), "PostMetricData" (Monitoring API 20180401),
and for the statements "Details for Notifications" and "Details for Monitoring" of OCI's policy reference.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from keepstep.clouds.document import document_in, shortened
from keepstep.clouds.http import Response, Timeouts
from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_regions import is_region, region_of
from keepstep.clouds.oci_service import Explain, OciService, quoted
from keepstep.clouds.retry import PASSING
from keepstep.errors import ConfigError, Corrupt, Denied, Error, NotFound, Transient

TOPIC = re.compile(r"ocid1\.onstopic\.[a-z0-9-]+\.[A-Za-z0-9-]*\.[A-Za-z0-9._-]+", re.ASCII)
_LONGEST = 60_000
"""Bytes of a message's text; the service takes 64 KiB with the title."""
_PATIENCE = Timeouts(connect=10, idle=20)
_LIMIT = 90.0
"""Seconds for one call, its repetitions included."""


def publish(topic: str, title: str, body: str, identity: OciIdentity) -> None:
    """Sends a message to everybody who subscribes to the topic. Raises :class:`Error`.

    It is repeated when no answer came, so a message may arrive twice.
    """
    text = body.encode()[:_LONGEST].decode(errors="ignore")
    message = json.dumps({"title": title[:200], "body": text}).encode()
    path = f"/20181201/topics/{quoted(topic)}/messages"
    _call("notification", "PublishMessage", "POST", path, message, identity, _region_in(topic), topic)


def look_at_topic(topic: str, identity: OciIdentity) -> str:
    """The topic's name. Raises :class:`Error`."""
    path = f"/20181201/topics/{quoted(topic)}"
    answer = _call("notification", "GetTopic", "GET", path, b"", identity, _region_in(topic), topic)
    return document_in(answer.document, "the answer of OCI Notifications").text("name", "")


def post_metric(
    name: str,
    value: float,
    at: datetime,
    dimensions: Mapping[str, str],
    *,
    namespace: str,
    compartment: str,
    identity: OciIdentity,
    region: str | None = None,
) -> None:
    """Adds one value to a metric of the namespace, in the region or the identity's own. Raises :class:`Error`."""
    datum = {
        "namespace": namespace,
        "compartmentId": compartment,
        "name": name,
        "dimensions": {key: _dimension(text) for key, text in dimensions.items()},
        "datapoints": [{"timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "value": value}],
    }
    body = json.dumps({"metricData": [datum]}).encode()
    path = "/20180401/metrics"
    _call("telemetry-ingestion", "PostMetricData", "POST", path, body, identity, region, f"metrics of {namespace}")


def _dimension(text: str) -> str:
    """At most 256 characters of ASCII, without spaces at its ends, and never empty."""
    return "".join(char if " " <= char <= "~" else "_" for char in text).strip()[:256] or "_"


def _region_in(topic: str) -> str | None:
    """Where the topic is, as its OCID says: by full name, or by short name in the oldest regions."""
    region = region_of(topic.split(".")[3])
    return region if is_region(region) else None


def _call(
    service: str,
    operation: str,
    method: str,
    path: str,
    body: bytes,
    identity: OciIdentity,
    region: str | None,
    what: str,
) -> Response:
    async def called() -> Response:
        client = OciService(service, identity, region=region, timeouts=_PATIENCE)
        try:
            async with asyncio.timeout(_LIMIT):
                explain = _explain(what, operation, identity)
                return await client.call(operation, method, path, explain, body=body, most=1 << 20)
        except TimeoutError as exc:
            raise Transient(f"{what}: OCI did not answer within {_LIMIT:g} s") from exc
        finally:
            await client.close()

    return _apart(called)


def _apart(work: Callable[[], Coroutine[object, object, Response]]) -> Response:
    """In a thread and an event loop of its own: who calls may have one that runs."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()


_GRANTS = {
    "PublishMessage": "use ons-topics",
    "GetTopic": "read ons-topics",
    "PostMetricData": "use metrics",
}


def _explain(what: str, operation: str, identity: OciIdentity) -> Explain:
    def error_of(response: Response) -> Error:
        text = f"{what}: {_said(response)}"
        statement = f"allow {identity.grantee} to {_GRANTS[operation]} in compartment <its compartment>"
        match response.status:
            case 401:
                return ConfigError(text, hint="compare the key's fingerprint with Identity > Users > API Keys")
            case 403:
                return Denied(text, hint=statement)
            case 404:
                return NotFound(
                    f"{text} (OCI answers the same for what is missing and for what is forbidden)", hint=statement
                )
            case status if status in PASSING:
                return Transient(text)
            case _:
                return Error(text)

    return error_of


def _said(response: Response) -> str:
    try:
        document = document_in(response.document, "")
        return ": ".join(shortened(document.text(key, "")) for key in ("code", "message"))
    except Corrupt:
        return f"OCI answered {response.status}"

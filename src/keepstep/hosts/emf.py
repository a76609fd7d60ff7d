"""Metrics in a Lambda function's log: CloudWatch's embedded metric format, one line of JSON.

Source: CloudWatch User Guide, "Specification: Embedded metric format".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_UNITS = {
    "Success": "Count",
    "Failure": "Count",
    "Duration": "Seconds",
    "Bytes": "Bytes",
    "Objects": "Count",
    "Failed": "Count",
    "Requests": "Count",
}


def emf_line(record: Mapping[str, Any], *, seconds: float, is_good: bool, now: datetime) -> str:
    """The metrics of one run, by job."""
    counts = record.get("counts") or {}
    values = {
        "Success": int(is_good),
        "Failure": int(not is_good),
        "Duration": round(seconds, 3),
        "Bytes": record.get("bytes") or 0,
        "Objects": sum(counts.get(word, 0) for word in ("upload", "download", "copy", "update")),
        "Failed": counts.get("failed", 0),
        "Requests": sum((record.get("requests") or {}).values()),
    }
    metrics = [{"Name": name, "Unit": unit} for name, unit in _UNITS.items()]
    directive = {"Namespace": "keepstep", "Dimensions": [["job", "kind"]], "Metrics": metrics}
    head = {"Timestamp": int(now.timestamp() * 1000), "CloudWatchMetrics": [directive]}
    job, kind = record.get("job") or "-", record.get("kind") or "-"
    return json.dumps({"_aws": head, "job": job, "kind": kind, "run": record.get("id"), **values})

"""AWS Secrets Manager as AWS documents it, where moto's is lenient; one call of its JSON protocol after the other.

It has no replicas, and calls no rotation function: RotateSecret records the settings. The rules of versions and
labels stand in :mod:`.model`.
Source: API reference (2017-10-17), one page an operation; "AWS JSON 1.1 protocol" (Smithy).
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from keepstep_localcloud.aws.http import Response
from keepstep_localcloud.clock import Clock
from keepstep_localcloud.secretsmanager.checks import check
from keepstep_localcloud.secretsmanager.model import SecretsError
from keepstep_localcloud.secretsmanager.reads import Reads
from keepstep_localcloud.secretsmanager.store import SecretStore
from keepstep_localcloud.secretsmanager.writes import Writes


class SecretsManager:
    """The service in every region; ``path`` None keeps it in memory."""

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._store = SecretStore(path)
        self._clock = clock
        self._lock = threading.Lock()

    def close(self) -> None:
        self._store.close()

    def answer(self, operation: str, region: str, body: bytes, *, stale: bool = False) -> Response:
        """``stale``: reads show every secret as it was before its last write."""
        status = 200
        try:
            parameters = json.loads(body or b"{}")
            check(operation, parameters)
            with self._lock:
                answer = self._operation(operation, region, stale=stale)(parameters)
        except SecretsError as error:
            status, answer = 400, {"__type": error.code, "Message": str(error)}
        except (ValueError, RecursionError):
            status, answer = 400, {"__type": "SerializationException", "Message": "the body is not JSON"}
        headers = {"content-type": "application/x-amz-json-1.1", "x-amzn-requestid": str(uuid.uuid4())}
        return Response(status, json.dumps(answer, default=datetime.timestamp).encode(), headers)

    def _operation(self, name: str, region: str, *, stale: bool) -> Callable[[dict[str, Any]], dict[str, Any]]:
        now = self._clock.now()
        self._store.delete_gone(now)
        method = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        for calls in (Reads(self._store, region, now, stale=stale), Writes(self._store, region, now)):
            if found := getattr(calls, method, None):
                return found  # type: ignore[no-any-return]
        raise SecretsError("InvalidRequestException", f"{name} is not in the local Secrets Manager.")

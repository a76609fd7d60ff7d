"""boto's clients for asyncio: a client for each service and region, its calls on threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.document import JsonDocument
from keepstep.vaults.aws_errors import translated

_THREADS = 32


class AwsCalls:
    """Each call is made once: repeating is :class:`keepstep.vaults.retrying.Retrying`'s work."""

    def __init__(self, service: str, identity: AwsIdentity) -> None:
        self.service = service
        self._identity = identity
        self._clients: dict[str | None, Any] = {}
        self._making = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, service)

    async def authenticate(self) -> None:
        await self._identity.credentials()

    async def call(self, operation: str, what: str, region: str | None, **parameters: Any) -> JsonDocument:
        """``operation`` as the API has it. Raises what :mod:`.aws_errors` says of ``what``.

        botocore takes an answer's fields as they come, whatever the types that its model promises.
        """
        from botocore import xform_name

        session = await self._identity.botocore_session()
        profile = self._identity.settings.profile or "default"

        def work() -> JsonDocument:
            with translated(what, f"{self.service}:{operation}", profile):
                method = getattr(self._client(session, region), xform_name(operation))
                return JsonDocument(method(**parameters), what)

        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _client(self, session: Any, region: str | None) -> Any:
        from botocore.config import Config

        with self._making:  # making clients of one session is not safe for threads
            if region not in self._clients:
                config = Config(
                    retries={"total_max_attempts": 1},
                    connect_timeout=10,
                    read_timeout=20,
                    max_pool_connections=_THREADS,
                )
                self._clients[region] = session.create_client(self.service, region_name=region, config=config)
            return self._clients[region]

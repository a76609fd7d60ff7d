"""A local AWS on loopback: a Secrets Manager of our own, S3 and the rest by moto, faults on request, state on disk.

The same directory gives the same secrets, objects (times, ETags, versions) and SSM parameters after a restart or a
``kill -9``; other services (STS, KMS, SES, SNS, …) start empty. Signatures are not verified; S3 is
addressed by path. moto's state is the process's, so one local AWS runs in a process at a time.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from keepstep_localcloud.clock import Clock, SystemClock
from keepstep_localcloud.errors import ConfigError
from keepstep_localcloud.faults import Faults

if TYPE_CHECKING:
    from keepstep_localcloud.aws.front import Front
    from keepstep_localcloud.aws.http import Server

REGION = "us-east-1"
ACCESS_KEY, SECRET_KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
"""The pair of AWS's own documentation, which secret scanners know."""
_one_at_a_time = threading.Lock()


class LocalAws:
    """A context manager too. ``directory`` None keeps everything in memory."""

    def __init__(
        self, directory: Path | None = None, *, clock: Clock | None = None, faults: Faults | None = None
    ) -> None:
        self.faults = faults or Faults()
        self._directory = directory
        self._clock = clock or SystemClock()
        self._front: Front | None = None
        self._server: Server | None = None
        self._is_the_one = False

    def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Returns when it serves. Raises :class:`ConfigError` without moto, or when one runs in this process."""
        if not _one_at_a_time.acquire(blocking=False):
            raise ConfigError("a local AWS runs in this process already", hint="stop it first")
        self._is_the_one = True
        try:
            self._serve(host, port)
        except ImportError as exc:
            raise ConfigError(f"the local AWS needs {exc.name}", hint="pip install keepstep-localcloud") from exc
        finally:
            if not self._server:
                self.stop()

    def _serve(self, host: str, port: int) -> None:
        from keepstep_localcloud.aws.front import Front
        from keepstep_localcloud.aws.http import Server

        self._front = Front(self._directory, self._clock, self.faults)
        self._server = Server(host, port, self._front.answer)

    def stop(self) -> None:
        """Closes every connection; safe to repeat."""
        server, self._server = self._server, None
        front, self._front = self._front, None
        if server:
            server.stop()
        if front:
            front.close()
        if self._is_the_one:
            self._is_the_one = False
            _one_at_a_time.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """``http://host:port``; only while it serves."""
        assert self._server, "not started"
        return f"http://{self._server.host}:{self._server.server_port}"

    def env(self) -> dict[str, str]:
        """The variables that make the aws CLI and every SDK use it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
        }

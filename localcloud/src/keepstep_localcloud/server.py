"""A local cloud for a test or a bench: started as a process of its own, found by its address, stopped or killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from keepstep_localcloud.errors import ConfigError
from keepstep_localcloud.faults import Faults
from keepstep_localcloud.policies import Policies

PATIENCE = 60
"""Seconds to wait for "ready"."""


class LocalCloud:
    """``keepstep-localcloud`` in a subprocess, so that what a client costs can be told from what the server costs.

    ``directory`` None: a temporary one, gone at the end. ``aws`` False (the default): the local OCI alone, which
    starts in half a second. ``options`` are passed on (``"--any-key"``, ``"--bling", str(folder)``). A context
    manager; :meth:`start`, :meth:`stop` and :meth:`kill` may alternate as often as one likes.
    """

    def __init__(self, directory: Path | None = None, *options: str, aws: bool = False) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="localcloud-") if directory is None else None
        self.directory = Path(self._temporary.name) if self._temporary else Path(directory or "").absolute()
        self._options = [*options, *([] if aws else ["--no-aws"])]
        self._process: subprocess.Popen[str] | None = None
        self.has_faults = False
        """Whether :meth:`fault` was called since it started, and :meth:`clear_faults` was not."""

    def start(self) -> Self:
        """Returns when it serves. Raises :class:`ConfigError` with what it said when it does not."""
        command = [sys.executable, "-P", "-m", "keepstep_localcloud", "--dir", str(self.directory), *self._options]
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "log"
        with open(log, "w") as errors:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self._process.stdout
        if self._process.stdout.readline() != "ready\n":
            self._process.wait(PATIENCE)
            raise ConfigError(f"the local cloud did not start: {log.read_text().strip()}")
        return self

    def stop(self) -> int:
        """Ends it the way systemd or Ctrl-C would, and returns its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it in the middle of whatever it does."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        self.has_faults = False
        if process is None:
            return 0
        with process:
            process.send_signal(number)
            return process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    @property
    def pid(self) -> int:
        assert self._process, "not running"
        return self._process.pid

    @property
    def env(self) -> dict[str, str]:
        """The variables in ``DIR/env``."""
        from keepstep_localcloud.environment import read_exports

        return read_exports(self.directory / "env")

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:port``, for every OCI service."""
        return self.env["OCI_ENDPOINT_URL"]

    @property
    def config(self) -> Path:
        """An ``~/.oci/config`` with the profiles ``DEFAULT`` and ``SESSION``."""
        return self.directory / "oci" / "config"

    @property
    def facts(self) -> Mapping[str, str]:
        """``tenancy``, ``user``, ``instance``, ``function``, ``compartment``, ``namespace``, ``region``."""
        facts: dict[str, str] = json.loads((self.directory / "identity" / "facts.json").read_text())
        return facts

    @property
    def tenancy(self) -> str:
        return self.facts["tenancy"]

    @property
    def namespace(self) -> str:
        """The Object Storage namespace."""
        return self.facts["namespace"]

    def fault(self, operation: str, *, after: int = 0, times: int | None = 1, match: str = "", **do: Any) -> None:
        """Asks for a fault: ``cloud.fault("ListObjects", after=1, status=500)``."""
        fault = {"operation": operation, "after": after, "times": times, "match": match, "do": do}
        self.has_faults = True
        self._faults("POST", fault)

    def clear_faults(self) -> None:
        self._faults("DELETE")
        self.has_faults = False

    @contextmanager
    def policy(self, *statements: str) -> Iterator[None]:
        """Within the block nothing is allowed but what these statements of OCI's policy language allow."""
        self._ask("POST", Policies.PATH, "\n".join(statements).encode())
        try:
            yield
        finally:
            self._ask("DELETE", Policies.PATH)

    def _faults(self, method: str, fault: object = None) -> None:
        self._ask(method, Faults.PATH, json.dumps(fault).encode())

    def _ask(self, method: str, path: str, body: bytes = b"") -> None:
        request = urllib.request.Request(f"{self.endpoint}{path}", body, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=PATIENCE):  # noqa: S310
            pass

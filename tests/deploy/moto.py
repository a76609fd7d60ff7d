"""moto as it is: the local AWS of keepstep has fewer services."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import free_port, program, running, wait_until


@contextmanager
def moto(folder: Path, **more: str) -> Iterator[str]:
    """Its address."""
    log, port = folder / "log", free_port()
    command = [program("moto_server", "moto"), "--host", "127.0.0.1", "--port", str(port)]
    with running(command, log=log, env={**os.environ, **more}) as process:
        wait_until(lambda: "Running on" in log.read_text(), process, timeout=60, log=log)
        yield f"http://127.0.0.1:{port}"

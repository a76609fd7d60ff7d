"""Ends a run together with the host that started it: the kernel closes the host's end of a pipe."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress

LIFELINE = "KEEPSTEP_LIFELINE_FD"
"""Variable with the descriptor of the pipe's other end, in the environment of a run."""
_GRACE = 20.0
"""Seconds between SIGTERM, after which a run finishes transfers in flight, and SIGKILL."""


def hold() -> None:
    """Watches the pipe, if there is one: when its host is gone, this process and its group end."""
    number = os.environ.pop(LIFELINE, "")
    if number.isdecimal():
        os.set_inheritable(int(number), False)
        threading.Thread(target=_watch, args=(int(number),), name="lifeline", daemon=True).start()


def _watch(descriptor: int) -> None:
    with suppress(OSError):
        while os.read(descriptor, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os.killpg(0, signal.SIGKILL)

"""Notifies systemd about the service: sd_notify(3). Without systemd it does nothing."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress


class Supervisor:
    """Writes to ``NOTIFY_SOCKET``, which children do not inherit."""

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        microseconds = os.environ.pop("WATCHDOG_USEC", "")
        is_ours = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.interval = int(microseconds) / 2_000_000 if microseconds and is_ours else None
        """Seconds between signs of life: half of the watchdog's limit. None without a watchdog."""

    def ready(self, status: str) -> None:
        self._say(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        self._say(f"STOPPING=1\nSTATUS={status}")

    def alive(self) -> None:
        self._say("WATCHDOG=1")

    def _say(self, words: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.sendto(words.encode(), address)

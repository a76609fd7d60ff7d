"""The first process of a container: forwards signals and reaps zombies, as init does.

The kernel reparents orphans to process 1, and keeps them as zombies until process 1 waits for them.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Never

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_OF_A_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
"""The kernel sends these to every foreground process: to this one, and to its child."""


def be_init() -> None:
    """As process 1, becomes an init and returns in a child process; otherwise just returns.

    Call it before there are threads.
    """
    if os.getpid() != 1:
        return
    watched = {*_PASSED_ON, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    process = os.fork()
    if process:
        _watch_over(process, watched)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)


def _watch_over(process: int, watched: set[signal.Signals]) -> Never:
    """Exits as the process did: with its exit code, or 128 plus the number of its signal."""
    while True:
        received = signal.sigwaitinfo(watched)
        if received.si_signo != signal.SIGCHLD:
            is_from_the_kernel = received.si_code > 0
            if not (is_from_the_kernel and received.si_signo in _OF_A_TERMINAL):
                os.kill(process, received.si_signo)
            continue
        for ended, status in _reaped():
            if ended == process:
                code = os.waitstatus_to_exitcode(status)
                sys.stdout.flush()
                os._exit(code if code >= 0 else 128 - code)


def _reaped() -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not ended:
            return found
        found.append((ended, status))


if __name__ == "__main__":
    be_init()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - an init for the program that it is given

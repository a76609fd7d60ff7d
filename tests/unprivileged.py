"""Runs a command as a user to whom permissions apply: root without root's right to pass over them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.servers import absent, program

_RIGHTS = "-dac_override,-dac_read_search,-fowner"


def unprivileged(command: Sequence[str]) -> list[str]:
    """The command line to run instead. It keeps the user, so that the test's own folders stay within reach."""
    if os.geteuid():
        return list(command)
    setpriv = program("setpriv", "setpriv (util-linux)")
    return [setpriv, f"--bounding-set={_RIGHTS}", f"--inh-caps={_RIGHTS}", "--", *command]


def run_unprivileged(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(unprivileged(command), capture_output=True, text=True, timeout=120, **options)
    if "setpriv: " in result.stderr:
        absent("capabilities", result.stderr.strip())
    return result

"""The short form of ``make fuzz-http``."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("seed", [20, 21], ids=["uvloop", "asyncio"])
def test_twisted_answers_never_hang_crash_or_lie(seed: int) -> None:
    """Thousands of answers, cut and twisted at every offset, in a process with little memory."""
    command = [sys.executable, "-m", "tests.clouds.fuzz_http", "--twists", "2000", "--seed", str(seed)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr

"""Repeats what failed for a passing reason; the pauses grow, are jittered, and honour the server's wish."""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TypeVar

from keepstep.clouds.times import http_microseconds
from keepstep.errors import Transient

T = TypeVar("T")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 20.0
_LONGEST_WISH = 60.0
"""Maximum seconds to wait because the server asks for it."""
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 528)})
"""Statuses of faults that pass (RFC 9110, 8470, 6585); those from 520 are what proxies in front of a store say."""
_LONGEST_SENSE = 86400.0
"""Seconds; a wish for more is a mistake."""
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
_ATTEMPTS = 7
_PATIENCE = timedelta(minutes=2)


async def retried(attempt: Callable[[], Awaitable[T]], on_retry: Callable[[], object] | None = None) -> T:
    """Awaits ``attempt()`` until it does not raise :class:`Transient`; about two minutes, or seven repetitions.

    ``on_retry`` is called before each repetition. The first try costs nothing extra: the retry library is loaded
    when it is needed.
    """
    try:
        return await attempt()
    except Transient as exc:
        if on_retry:
            on_retry()
        await asyncio.sleep(_pause(exc))
    import stamina

    stamina.instrumentation.set_on_retry_hooks([])  # what is reported is the outcome
    caller = stamina.AsyncRetryingCaller(
        attempts=_ATTEMPTS,
        timeout=_PATIENCE,
        wait_initial=2 * _FIRST_PAUSE,
        wait_max=_LONGEST_PAUSE,
        wait_jitter=0.5,
    )

    def verdict(exc: Exception) -> bool | float:
        if on_retry and isinstance(exc, Transient):
            on_retry()
        return _verdict(exc)

    return await caller(verdict, attempt)


def _verdict(exc: Exception) -> bool | float:
    """What stamina is to do: stop, go on with its own pause, or wait as long as the server asked for."""
    if not isinstance(exc, Transient):
        return False
    return True if exc.retry_after is None else min(exc.retry_after, _LONGEST_WISH)


def _pause(exc: Transient) -> float:
    if exc.retry_after is not None:
        return min(exc.retry_after, _LONGEST_WISH)
    return _FIRST_PAUSE * (0.5 + random.random())


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, as a number or as a date (RFC 9110, section 10.2.3).

    None where it asks for nothing, or for more than a day, which nobody means.
    """
    text = headers.get("retry-after", "")
    if _SECONDS.fullmatch(text):
        wish = float(text)
    else:
        at = http_microseconds(text)
        wish = math.inf if at is None else max(0.0, at / 1e6 - time.time())
    return wish if wish <= _LONGEST_SENSE else None

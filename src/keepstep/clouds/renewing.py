"""A value that expires (credentials, a signing key), renewed in good time by one thread however many ask for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Generic, Protocol, TypeVar

from keepstep.clock import Clock, SystemClock
from keepstep.errors import Transient

log = logging.getLogger(__name__)

_LOOK_EVERY = 5.0
"""Seconds for which a value is given out without looking at its age again."""
_LAST_MINUTE = timedelta(seconds=60)
"""A value with less life than this is not given out while a newer one can be obtained (the SDKs' own margin)."""
_NEVER = datetime.max.replace(tzinfo=UTC)


class Expiring(Protocol):
    """What can be renewed: anything that knows when it ends. ``None`` is never."""

    @property
    def expires_at(self) -> datetime | None: ...


T = TypeVar("T", bound=Expiring)


class Renewing(Generic[T]):
    """Gives out a current value; asking costs no thread and no lock while the value is young.

    ``fetch(force)`` blocks and runs in a thread of its own; ``force`` tells it to trust nothing it kept.
    From ``early`` before the end, or at half its life, a new value is fetched in the background while the old one
    serves on; in the last minute, or quarter, callers wait for it. Callers who wait share one fetch. Works from
    any number of event loops. Threads are daemons: one that hangs does not keep the process from ending.

    Errors: what ``fetch`` raised, once the old value is of no more use; :class:`Transient` when it takes longer
    than ``limit`` seconds. Asking again is safe, and fetches again.
    """

    def __init__(
        self,
        fetch: Callable[[bool], T],
        *,
        what: str,
        early: timedelta,
        limit: float = 55.0,
        is_outdated: Callable[[T], bool] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``is_outdated`` is asked every few seconds whether the source has changed; it must not block."""
        self._fetch = fetch
        self._what = what
        self._early = early
        self._limit = limit
        self._is_outdated = is_outdated or (lambda value: False)
        self._clock = clock or SystemClock()
        self._value: T | None = None
        self._look_at = 0.0
        self._due_at = self._wait_at = _NEVER
        self._flight: Future[T] | None = None
        self._lock = threading.Lock()

    async def get(self) -> T:
        """The value; at once, unless it is the first or the last minute of its life."""
        value = self._value
        if value is not None and self._clock.monotonic() < self._look_at:
            return value
        return await self._look(value)

    async def renew(self, stale: T | None = None) -> T:
        """A value fetched again, for a service that refused ``stale``.

        When ``stale`` has been replaced meanwhile the replacement is returned and nothing is fetched, so that
        any number of requests refused together cause one fetch.
        """
        if (flight := self._flight) is not None:
            with contextlib.suppress(Exception):
                await self._landed(flight)
        return await self._landed(self._start(self._value if stale is None else stale, force=True))

    async def _look(self, value: T | None) -> T:
        now = self._clock.now()
        if value is None or now >= self._wait_at:
            return await self._replaced(value, now)
        self._look_at = self._clock.monotonic() + _LOOK_EVERY
        if now >= self._due_at or self._is_outdated(value):
            self._start(value, force=False).add_done_callback(self._note)
        return value

    async def _replaced(self, value: T | None, now: datetime) -> T:
        try:
            return await self._landed(self._start(value, force=False))
        except Exception:
            if value is None or now >= (value.expires_at or _NEVER):
                raise
            return value

    def _start(self, seen: T | None, *, force: bool) -> Future[T]:
        """The fetch under way, or a new one; none when ``seen`` has been replaced since it was looked at."""
        with self._lock:
            if self._flight is None:
                flight = Future[T]()
                if self._value is not None and self._value is not seen:
                    flight.set_result(self._value)
                    return flight
                flight.set_running_or_notify_cancel()
                threading.Thread(target=self._fly, args=(flight, force), name=self._what, daemon=True).start()
                self._flight = flight
            return self._flight

    def _fly(self, flight: Future[T], force: bool) -> None:
        try:
            value = self._fetch(force)
        except BaseException as exc:  # noqa: BLE001 - handed to those who wait
            with self._lock:
                self._flight = None
            flight.set_exception(exc)
            return
        with self._lock:
            self._accept(value)
            self._flight = None
        flight.set_result(value)

    def _accept(self, value: T) -> None:
        """A value whose end does not move is asked forever less often, not every few seconds."""
        self._due_at = self._wait_at = _NEVER
        if value.expires_at is not None:
            left = max(value.expires_at - self._clock.now(), timedelta(0))
            self._due_at = value.expires_at - min(self._early, left / 2)
            self._wait_at = value.expires_at - min(_LAST_MINUTE, left / 4)
        self._value = value
        self._look_at = self._clock.monotonic() + _LOOK_EVERY

    async def _landed(self, flight: Future[T]) -> T:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(flight), self._limit)
        except TimeoutError as exc:
            if flight.done():
                raise
            raise Transient(f"{self._what} did not come within {self._limit:.0f} seconds") from exc

    def _note(self, flight: Future[T]) -> None:
        if error := flight.exception():
            log.warning("%s could not be renewed yet: %s", self._what, error)

"""Threads for calls that block (files, hashes, signatures), cheap enough to be used once per object.

``loop.run_in_executor`` wakes the event loop once per call; here results that are ready together come home
together, and a thread is added only when calls wait too long, so that short calls do not fight for the
interpreter. Figures in docs/adr/0001-http-client.md.
"""

from __future__ import annotations

import asyncio
import queue
import resource
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple["asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...], dict[str, Any], float]

_PATIENCE = 0.005
"""Seconds a call may wait for a thread before another thread is started."""

_BRIEF = 0.005
"""Seconds that a call may take up the event loop."""
_SELDOM = 20
"""One call in so many may take longer: file systems pause now and then."""
_TURNS = 200
"""So many calls go to a thread then."""


class Workers:
    """Threads that run functions for one event loop: one at first, more while calls have to wait.

    A caller that is cancelled leaves its function running to its end, unheard; where the result is something that
    must be given back, use :meth:`acquire`.
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._is_delivery_due = False
        self._is_check_due = False
        self._is_closed = False
        self._turns_in_thread = 0
        self._since_slow = _SELDOM
        self._last_taken = time.monotonic()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Calls the function in a thread; its result or exception is the future's."""
        if self._is_closed:
            raise RuntimeError("these workers are closed")
        if not self._threads:
            self._add_thread()
        if not self._is_check_due:
            self._is_check_due = True
            self._loop.call_later(_PATIENCE, self._check)
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((future, function, args, kwargs, time.monotonic()))
        return future

    async def acquire(self, function: Callable[[], T], release: Callable[[T], object]) -> T:
        """As ``run``, for a result that holds something: when the caller is cancelled, it goes to ``release``."""
        hold = _Hold(release)
        try:
            return await self.run(hold.take, function)
        except asyncio.CancelledError:
            hold.give_back()
            raise

    async def acquire_briefly(self, function: Callable[[], T], release: Callable[[T], object]) -> T:
        """As ``acquire``, for what usually takes microseconds: here and now, and in a thread once that was slow.

        A thread would cost more than such a call, most of it in waiting for the interpreter. A call that took long
        because the processor was taken away (getrusage(2): it never gave it up itself) was not slow.
        """
        self._since_slow += 1
        if self._turns_in_thread:
            self._turns_in_thread -= 1
            return await self.acquire(function, release)
        waits, start = _waits(), time.monotonic()
        try:
            return function()
        finally:
            if time.monotonic() - start > _BRIEF and _waits() > waits:
                if self._since_slow <= _SELDOM:
                    self._turns_in_thread = _TURNS
                self._since_slow = 0

    def close(self) -> None:
        """Lets every thread end once it is free; what was asked for before is still done."""
        self._is_closed = True
        self._jobs.put(None)

    def _add_thread(self) -> None:
        with self._lock:
            if len(self._threads) == self._most:
                return
            thread = threading.Thread(target=self._work, name="keepstep-worker", daemon=True)
            self._threads.append(thread)
        thread.start()

    def _check(self) -> None:
        """Calls that block in every thread there is must not hold up the others."""
        self._is_check_due = self._jobs.qsize() > 0 and not self._is_closed
        if self._is_check_due:
            if time.monotonic() - self._last_taken > _PATIENCE:
                self._add_thread()
            self._loop.call_later(_PATIENCE, self._check)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, function, args, kwargs, asked = job
            self._last_taken = time.monotonic()
            if self._last_taken - asked > _PATIENCE and len(self._threads) < self._most:
                self._add_thread()
            result: Any = None
            error: BaseException | None = None
            try:
                result = function(*args, **kwargs)
            except BaseException as exc:  # noqa: BLE001 - handed to whoever asked
                error = exc
            is_heard = self._bring_home(future, result, error)
            # A thread that waits for work must not hold on to what it did last, which may be megabytes.
            del job, function, args, kwargs, future, result, error
            if not is_heard:
                return
        self._jobs.put(None)  # for the next thread

    def _bring_home(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> bool:
        """False when the loop has closed and nobody listens any more."""
        with self._lock:
            self._done.append((future, result, error))
            is_first, self._is_delivery_due = not self._is_delivery_due, True
        if is_first:
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                return False
        return True

    def _deliver(self) -> None:
        with self._lock:
            done, self._done = self._done, deque()
            self._is_delivery_due = False
        for future, result, error in done:
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            elif isinstance(error, StopIteration):  # which no future can hold
                future.set_exception(RuntimeError(f"a call in a thread raised {error!r}"))
            else:
                future.set_exception(error)


def _waits() -> int:
    """How often this thread has given up the processor to wait for something."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


class _Hold(Generic[T]):
    """A result on its way from a thread to a caller who may be gone by then."""

    def __init__(self, release: Callable[[T], object]) -> None:
        self._release = release
        self._lock = threading.Lock()
        self._results: list[T] = []
        self._is_unwanted = False

    def take(self, function: Callable[[], T]) -> T:
        result = function()
        with self._lock:
            self._results.append(result)
            is_unwanted = self._is_unwanted
        if is_unwanted:
            self.give_back()
        return result

    def give_back(self) -> None:
        """Now, or as soon as there is a result; once."""
        with self._lock:
            self._is_unwanted = True
            results, self._results = self._results, []
        for result in results:
            self._release(result)

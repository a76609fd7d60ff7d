"""Planning and doing at the same time: what is planned first is done while the rest is planned."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from keepstep.objects.concurrency import Concurrency
from keepstep.objects.plan import SyncDecision
from keepstep.objects.transfer import first_of
from keepstep.stores.interface import OnSent

Put = Callable[[SyncDecision], Awaitable[None]]
"""Hands on what is to be done; waits while much is waiting already."""
Do = Callable[[SyncDecision, OnSent], Awaitable[None]]
"""Does it; the function that it is given lets another one begin when this one waits for a device only."""
_Queue = asyncio.Queue[SyncDecision | None]


class Pipeline:
    """One task that plans and several that do. Runs once."""

    def __init__(self, slots: Concurrency) -> None:
        self._slots = slots
        self._planner: asyncio.Task[None] | None = None
        self._is_stopping = False

    def stop(self) -> None:
        """Plans nothing more. What was handed on is still given to those who do it."""
        self._is_stopping = True
        if self._planner:
            self._planner.cancel()

    async def run(self, plan: Callable[[Put], Coroutine[Any, Any, None]], do: Do) -> None:
        """Returns when all is done. An internal error in one of the tasks ends them all and raises."""
        queue: _Queue = asyncio.Queue(2 * self._slots.most)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._slots.most):
                    group.create_task(self._work(queue, do))
                self._planner = group.create_task(plan(queue.put))
                if self._is_stopping:
                    self._planner.cancel()
                await asyncio.wait([self._planner])
                for _ in range(self._slots.most):
                    await queue.put(None)
        except BaseExceptionGroup as exc:
            raise first_of(exc) from None

    async def _work(self, queue: _Queue, do: Do) -> None:
        while (decision := await queue.get()) is not None:
            async with self._slots.slot() as leave:
                await do(decision, leave)
            self._slots.done(decision.source.size if decision.source else 0)

"""Notifies recipients: each one once, after everything that concerns it is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from keepstep.containers.interface import RESTART, Kind, Notice, Recipient
from keepstep.errors import Error
from keepstep.runs.report import Action
from keepstep.secrets.delivery import Target
from keepstep.secrets.journal import DeliveryRecorder
from keepstep.secrets.place import delivered


class Notifier:
    """Collects the notices of a run that are due, and delivers them.

    A notice that cannot be delivered is a warning: its marker stays, and the next run tries again.
    """

    def __init__(self, recipients: Mapping[Kind, Recipient], journal: DeliveryRecorder) -> None:
        self._recipients = recipients
        self._journal = journal
        self._due: dict[Notice, list[Target]] = {}

    def note(self, target: Target, notices: Iterable[Notice]) -> None:
        """These are due because of ``target``."""
        for notice in notices:
            self._due.setdefault(notice, []).append(target)

    async def notify(self, notices: Sequence[Notice], settled: Sequence[asyncio.Task[None]]) -> None:
        """Tells one recipient what is due of ``notices``, once ``settled`` is. A restart makes signals needless."""
        await asyncio.wait(settled)
        due = [notice for notice in notices if notice in self._due]
        restart = [notice for notice in due if notice.what == RESTART]
        if restart:
            await self._tell(restart[0], due)
            return
        for notice in due:
            await self._tell(notice, [notice])

    async def _tell(self, notice: Notice, settles: Sequence[Notice]) -> None:
        """Delivers one notice, with which those of ``settles`` are done too."""
        concerned = {id(target): target for each in settles for target in self._due[each]}.values()
        paths = sorted({delivery.path for target in concerned for delivery in target.deliveries})
        try:
            remarks = await self._recipients[notice.kind].notify(notice, paths)
        except Error as exc:
            self._journal.warn(f"{notice} is still due: {exc.message}" + (f" ({exc.hint})" if exc.hint else ""))
            return
        for target in concerned:
            await asyncio.to_thread(delivered, target, settles)
        for remark in remarks:
            self._journal.warn(remark)
        self._journal.did(Action("notify", None, f"{notice.kind}:{notice.whom}", None, notice.what))


def recipients_of(targets: Sequence[Target]) -> list[tuple[list[Notice], list[Target]]]:
    """Each recipient's notices, and the targets that concern it."""
    notices = sorted({notice for target in targets for notice in target.notices})
    groups = [list(group) for _, group in groupby(notices, key=lambda notice: (notice.kind, notice.whom))]
    return [(group, [target for target in targets if set(group) & set(target.notices)]) for group in groups]

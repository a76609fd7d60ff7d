"""What a sync is made of, put together: one budget, one bandwidth and one account for all its parts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime

from keepstep.objects.account import ActionRecorder, Observer
from keepstep.objects.bandwidth import Bandwidth
from keepstep.objects.budget import Budget
from keepstep.objects.case import CaseGuard, OnConflict
from keepstep.objects.checksums import Comparison
from keepstep.objects.concurrency import objects_in_flight
from keepstep.objects.deletes import Deletes
from keepstep.objects.filters import Filters
from keepstep.objects.guard import Cap
from keepstep.objects.high_water import ListingPace
from keepstep.objects.journal import SyncJournal
from keepstep.objects.pipeline import Pipeline
from keepstep.objects.plan import Direction, Rules
from keepstep.objects.transfer import MIB, Mover, parts_in_flight
from keepstep.objects.trash import Trash
from keepstep.runs.report import Report, action_log
from keepstep.stores.interface import Store
from keepstep.stores.options import TransferOptions


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What the user asked for."""

    rules: Rules
    filters: Filters = field(default_factory=Filters)
    cap: Cap = field(default_factory=Cap)
    allow_empty_source: bool = False
    dryrun: bool = False
    explain: bool = False
    jobs: int | None = None
    """Objects in flight at a time; None: as many as make the run fast."""
    memory: int = 80 * MIB
    """Bytes of objects, and of what their connections hold of them, in memory at a time."""
    transfer: TransferOptions = field(default_factory=TransferOptions)
    """What every object is to become."""
    bandwidth: int | None = None
    """Bandwidth limit in bytes per second."""
    case_conflict: OnConflict = OnConflict.IGNORE
    """Of downloads."""
    ignores_archived: bool = False
    """Whether archived objects are skipped silently."""
    pace: ListingPace | None = None
    """Of a source that only grows: how much of it is listed, and how often all of it."""
    keep_actions: bool = False
    """Whether the report lists every action."""


@dataclass(frozen=True, slots=True)
class SyncParts:
    """Each made once for a run."""

    report: Report
    account: ActionRecorder
    mover: Mover
    trash: Trash | None
    deletes: Deletes
    comparison: Comparison
    pipeline: Pipeline
    case: CaseGuard


def wired(
    source: Store,
    target: Store,
    trash: Store | None,
    options: SyncOptions,
    observer: Observer,
    journal: SyncJournal | None,
    began: datetime,
) -> SyncParts:
    """The parts of one run; nothing of them has been started."""

    def throttle_count() -> int:
        return source.throttle_count + target.throttle_count

    report = Report(
        "sync",
        str(source.address),
        str(target.address),
        began,
        is_dryrun=options.dryrun,
        actions=action_log() if options.keep_actions else None,
    )
    account = ActionRecorder(report, observer, source.address, target.address)
    budget = Budget(options.memory)
    bandwidth = Bandwidth(options.bandwidth) if options.bandwidth else None
    parts = parts_in_flight(options.jobs, throttle_count)
    kept = None
    if trash is not None:
        keys = TransferOptions(source_key=options.transfer.target_key, target_key=options.transfer.target_key)
        aside = Mover(target, trash, budget, lambda size: None, options=keys, bandwidth=bandwidth, parts=parts)
        kept = Trash(aside, options.jobs)
    mover = Mover(
        source,
        target,
        budget,
        account.moved,
        options=options.transfer,
        bandwidth=bandwidth,
        parts=parts,
        journal=journal,
    )
    return SyncParts(
        report=report,
        account=account,
        mover=mover,
        trash=kept,
        deletes=Deletes(
            target,
            account,
            options.cap,
            allow_empty_source=options.allow_empty_source,
            dryrun=options.dryrun,
            trash=kept,
        ),
        comparison=Comparison(
            source,
            target,
            budget,
            observer,
            bandwidth=bandwidth,
            journal=journal,
            part_size_for=mover.part_size_for,
        ),
        pipeline=Pipeline(objects_in_flight(options.jobs, throttle_count)),
        case=_case_guard(target, options, account),
    )


def _case_guard(target: Store, options: SyncOptions, account: ActionRecorder) -> CaseGuard:
    """Downloads alone meet file systems for which names may differ in case and be one."""
    is_download = options.rules.direction is Direction.DOWNLOAD
    policy = options.case_conflict if is_download else OnConflict.IGNORE
    return CaseGuard(policy, lambda key: os.path.lexists(target.address.of(key)), account.warn)

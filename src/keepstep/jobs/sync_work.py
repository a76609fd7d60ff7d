"""Prepares a sync of two addresses or of a job: checks options, then assembles parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from keepstep.errors import Misuse
from keepstep.jobs.assembly import Assembly, direction
from keepstep.jobs.settings import CloudSettings, overridden
from keepstep.jobs.sync_params import SyncParams
from keepstep.jobs.transfer_options import transfer_options
from keepstep.objects.case import OnConflict
from keepstep.objects.filters import Filters, Rule
from keepstep.objects.guard import Cap
from keepstep.objects.high_water import ListingPace
from keepstep.objects.journal import SyncJournal
from keepstep.objects.plan import Rules
from keepstep.objects.sync import Sync
from keepstep.objects.wiring import SyncOptions
from keepstep.stores import bling
from keepstep.stores.address import Address, parse
from keepstep.stores.places import Relation, identity, relation

if TYPE_CHECKING:
    from keepstep.objects.verify import Verify, VerifyOptions
    from keepstep.runs.progress import Observer
    from keepstep.stores.interface import Store
    from keepstep.stores.local_modes import Change, Owner

_LIES = {Relation.SAME: "is", Relation.INSIDE: "is inside", Relation.CONTAINS: "contains"}


@dataclass(frozen=True, kw_only=True)
class SyncWork:
    """A sync with valid settings, and what is needed to assemble it."""

    source: Address
    target: Address
    trash: Address | None
    assembly: Assembly
    params: SyncParams

    def journal(self, notes: Path | None) -> SyncJournal:
        """The records of earlier runs between the two places, which this run may continue."""
        return SyncJournal(notes, identity(self.source), identity(self.target))

    @asynccontextmanager
    async def sync(self, observer: Observer, journal: SyncJournal, *, keep_actions: bool) -> AsyncIterator[Sync]:
        """Assembles the sync; closes what it opened at the end."""
        options = replace(self.options, keep_actions=keep_actions)
        async with self._stores() as (source, target, trash):
            yield Sync(source, target, options, observer, trash=trash, journal=journal)

    @asynccontextmanager
    async def verify(
        self, observer: Observer, journal: SyncJournal, *, keep_actions: bool
    ) -> AsyncIterator[Verify]:
        """Assembles a comparison of the same places."""
        from keepstep.objects.verify import Verify

        async with self._stores() as (source, target, _):
            yield Verify(source, target, self._verify_options(keep_actions), observer, journal=journal)

    @asynccontextmanager
    async def _stores(self) -> AsyncIterator[tuple[Store, Store, Store | None]]:
        async with AsyncExitStack() as stack:
            source, target = self.assembly.source(self.source), self.assembly.target(self.target)
            stack.push_async_callback(source.close)
            stack.push_async_callback(target.close)
            trash = self.assembly.trash(self.trash) if self.trash else None
            if trash:
                stack.push_async_callback(trash.close)
            yield source, target, trash

    @property
    def options(self) -> SyncOptions:
        params = self.params
        return SyncOptions(
            rules=rules_of(params, self.source, self.target),
            filters=self._filters,
            cap=params.max_delete or Cap(),
            allow_empty_source=params.allow_empty_source,
            dryrun=params.dryrun,
            explain=params.explain,
            jobs=params.jobs,
            bandwidth=params.bandwidth,
            transfer=self.assembly.options,
            case_conflict=OnConflict(params.case_conflict),
            pace=_pace(params, self.source),
            ignores_archived=params.ignore_glacier_warnings,
        )

    def _verify_options(self, keep_actions: bool) -> VerifyOptions:
        from keepstep.objects.verify import VerifyOptions

        params = self.params
        return VerifyOptions(
            self._filters,
            explain=params.explain,
            jobs=params.jobs,
            bandwidth=params.bandwidth,
            keep_actions=keep_actions,
        )

    @property
    def _filters(self) -> Filters:
        return Filters([Rule(*given) for given in self.params.filters])


def sync_work(source: str, target: str, params: SyncParams, settings: CloudSettings) -> SyncWork:
    """Prepares a sync; ``params`` override ``settings``. Raises :class:`ConfigError` and :class:`Misuse`."""
    one, other = parse(source), parse(target)
    check_options(one, other, params)
    work = _located(one, other, params, settings)
    check_places(work.source, work.target)
    if params.trash is None:
        return _completed(work)
    trash = work.assembly.located(parse(params.trash), is_target=True)
    check_trash(params.trash, trash, work.source, work.target)
    return _completed(replace(work, trash=trash))


def verify_work(source: str, target: str, params: SyncParams, settings: CloudSettings) -> SyncWork:
    """Like :func:`sync_work`, for a comparison: both sides may be the same place."""
    return _completed(_located(parse(source), parse(target), params, settings))


def _located(source: Address, target: Address, params: SyncParams, settings: CloudSettings) -> SyncWork:
    """Both addresses with their places, and what is to be assembled."""
    assembly = Assembly(overridden(settings, params), transfer_options(params, source, target))
    source, target = assembly.located(source, is_target=False), assembly.located(target, is_target=True)
    return SyncWork(source=source, target=target, trash=None, assembly=assembly, params=params)


def _completed(work: SyncWork) -> SyncWork:
    """With all places known to the assembly, and the profile's ``s3 =`` block applied."""
    places = (work.source, work.target, *([work.trash] if work.trash else []))
    assembly, params = replace(work.assembly, places=places), work.params
    if "s3" in (work.source.kind, work.target.kind):
        assembly, params = _with_s3_block(assembly, params)
    return replace(work, assembly=assembly, params=params)


def check_options(source: Address, target: Address, params: SyncParams) -> None:
    """Raises :class:`Misuse` for options that contradict each other, or do not apply to a place."""
    modes_of(params, target)
    transfer_options(params, source, target)
    rules_of(params, source, target)


def check_places(source: Address, target: Address) -> None:
    """Raises :class:`Misuse` unless there are two places."""
    if relation(source, target) is Relation.SAME:
        raise Misuse(f"{target}: source and target are the same place", hint="name another target")


def check_trash(text: str, trash: Address, source: Address, target: Address) -> None:
    """Raises :class:`Misuse` for a place that the run itself would list, or that contains the source or target."""
    for name, place in (("target", target), ("source", source)):
        lies = relation(trash, place)
        if lies is not Relation.APART:
            raise Misuse(
                f"--trash {text}: the trash {_LIES[lies]} the {name}",
                hint="name a place outside both, for example another prefix of the bucket",
            )


def modes_of(params: SyncParams, target: Address) -> tuple[Change | None, Owner | None]:
    """Parses ``--chmod`` and ``--chown``. Raises :class:`Misuse`."""
    if params.chmod is None and params.chown is None:
        return None, None
    if target.kind != "local":
        raise Misuse(
            "--chmod and --chown apply only to local targets", hint="objects in a cloud have no mode or owner"
        )
    from keepstep.stores.local_modes import mode_change, owner

    return mode_change(params.chmod) if params.chmod else None, owner(params.chown) if params.chown else None


def rules_of(params: SyncParams, source: Address, target: Address) -> Rules:
    """Raises :class:`Misuse` for options that contradict each other."""
    compare = params.compare
    for name in ("size_only", "exact_timestamps"):
        if getattr(params, name) and compare != "aws" and (name, compare) != ("size_only", "size"):
            option = "--" + name.replace("_", "-")
            raise Misuse(f"{option} and --compare {compare} contradict each other", hint="omit one of them")
    return Rules(
        direction(source, target),
        delete=params.delete,
        size_only=params.size_only or compare == "size",
        exact_timestamps=params.exact_timestamps,
        no_overwrite=params.no_overwrite,
        contents=compare == "checksum",
    )


def _pace(params: SyncParams, source: Address) -> ListingPace | None:
    """Options of cost reports, which never change and whose names tell their age."""
    if source.namespace != bling.NAMESPACE:
        return None
    said = {name: value for name in ("full_every", "overlap") if (value := getattr(params, name)) is not None}
    return ListingPace(**said)


def _with_s3_block(assembly: Assembly, params: SyncParams) -> tuple[Assembly, SyncParams]:
    """Applies the profile's ``s3 =`` block where no options are given."""
    block = assembly.s3_block
    transfer = replace(
        assembly.options,
        multipart_threshold=block.multipart_threshold,
        multipart_chunksize=block.multipart_chunksize,
    )
    params = replace(
        params,
        jobs=params.jobs or block.max_concurrent_requests,
        bandwidth=params.bandwidth or block.max_bandwidth,
    )
    return replace(assembly, options=transfer), params

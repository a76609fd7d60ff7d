"""The deletes of a run: collected while it plans, carried out at its end, all or none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from keepstep.errors import Error, ExitCode
from keepstep.objects.account import ActionRecorder
from keepstep.objects.guard import Cap, Objection, object_to
from keepstep.objects.keylog import KeyLog
from keepstep.objects.merge_join import Side
from keepstep.objects.trash import Trash
from keepstep.runs.report import Failure
from keepstep.stores.interface import Entry, Store

_BATCH = 1000
_ESCAPE = re.compile(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}")
"""In the printable form of a name, what stands for a byte, or half a character, that is not text."""
_ANYTHING = r"(?:[^\x00-\x7f]|[?_]|%[0-9A-Fa-f]{2}|\\[xu][0-9a-f]{2,4})?"
"""What other tools may have made of it: another character, a sign in its place, an escape, or nothing."""


class Deletes:
    """Nothing goes before the guard has seen both listings to their end, and the whole number of deletes."""

    def __init__(
        self,
        target: Store,
        account: ActionRecorder,
        cap: Cap,
        *,
        allow_empty_source: bool,
        dryrun: bool,
        trash: Trash | None = None,
    ) -> None:
        self._target = target
        self._account = account
        self._cap = cap
        self._allow_empty_source = allow_empty_source
        self._is_dryrun = dryrun
        self._trash = trash
        self._keys = KeyLog()
        self._trouble: Error | None = None

    def extend(self, entries: Iterable[Entry]) -> None:
        if self._trouble is None:
            try:
                self._keys.extend(map(_line, entries) if self._trash else (entry.key for entry in entries))
            except Error as exc:  # not all of them can be known at the end: none is deleted
                self._trouble = exc

    async def carry_out(self, source: Side, target: Side, *, goes_on: Callable[[], bool]) -> None:
        """Asks the guard, then deletes in batches for as long as ``goes_on()``."""
        if trouble := self._trouble:
            why = f"deletes withheld, for there are too many to remember them: {trouble.message}"
            self.withhold(Objection(why, trouble.hint or "", is_refusal=False))
            return
        counts = self._account.report.counts
        objection = object_to(
            deletes=len(self._keys),
            source_in_scope=counts["source_keys"],
            target_in_scope=counts["target_keys"],
            uncertified=_uncertified(source, target),
            cap=self._cap,
            allow_empty_source=self._allow_empty_source,
        )
        if objection:
            self.withhold(objection)
            return
        entries = self._without_possible_copies(source.listing.unrepresentable_names)
        while goes_on() and (batch := list(islice(entries, _BATCH))):
            failures = {} if self._is_dryrun else await self._delete(batch)
            for entry in batch:
                action = self._account.delete(entry.key)
                if entry.key in failures:
                    self._account.failed(action, failures[entry.key])
                else:
                    self._account.did(action)

    def _without_possible_copies(self, unrepresentable_names: Sequence[tuple[str, str]]) -> Iterator[Entry]:
        """What is to be deleted, but for what may be a copy of what the source lists and nobody can read."""
        resembles = _likeness(name for name, _ in unrepresentable_names)
        for line in self._keys:
            entry = _entry(line) if self._trash else Entry(line, 0, 0)
            if resembles and resembles(entry.key):
                self._account.warn(
                    f"kept {self._target.address.of(entry.key)}: the source has a name like it, not in UTF-8"
                )
            else:
                yield entry

    def withhold(self, objection: Objection) -> None:
        failure = Failure("guard", None, str(self._target.address), objection.message, objection.hint)
        self._account.fail(failure)
        if objection.is_refusal:
            self._account.report.exit_code = ExitCode.REFUSED

    def close(self) -> None:
        self._keys.close()

    async def _delete(self, entries: Sequence[Entry]) -> dict[str, Error]:
        """What cannot be kept in the trash is not deleted either."""
        failures = await self._trash.keep_all(entries) if self._trash else {}
        kept = [entry.key for entry in entries if entry.key not in failures]
        try:
            return failures | await self._target.delete(kept)
        except Error as exc:
            return failures | dict.fromkeys(kept, exc)


def _line(entry: Entry) -> str:
    """For a trash, which has to know how large an object is, and which state of it was seen."""
    return f"{entry.size} {entry.time} {len(entry.etag)} {entry.etag}{entry.key}"


def _entry(line: str) -> Entry:
    size, time, length, rest = line.split(" ", 3)
    return Entry(rest[int(length) :], int(size), int(time), rest[: int(length)])


def _likeness(names: Iterable[str]) -> Callable[[str], re.Match[str] | None] | None:
    """Matches keys that a name may have become whose bytes were not text; those are escaped in it."""
    patterns = [_ANYTHING.join(map(re.escape, _ESCAPE.split(name))) for name in names if _ESCAPE.search(name)]
    return re.compile("|".join(patterns), re.DOTALL).fullmatch if patterns else None


def _uncertified(*sides: Side) -> str:
    """The sides that are at fault; or else those that were not read to their end because of it."""
    open_sides = [side for side in sides if not side.is_certified]
    names = [side.name for side in open_sides if side.is_faulty] or [side.name for side in open_sides]
    return " and of the ".join(names)

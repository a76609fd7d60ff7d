"""Who runs what, in one transaction: each row of what may be in the state when somebody wants to run a job."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keepstep.runs.history import History
from keepstep.runs.run import Run
from keepstep.schedules.claims import Claim, claim, pass_over
from keepstep.state.place import place_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def history(state_url: str) -> History:
    return History(place_of(state_url).open())


def run_of(key: str, due: datetime | None) -> Run:
    at = due or NOON
    cause = "schedule" if due else "manual"
    return Run(
        id=key, job="copy", kind="sync", host="here", cause=cause, queued=at, seen=at, outcome="queued", due=due
    )


def end(history: History, key: str) -> None:
    run = history.get(key)
    assert run and history.end(replace(run, outcome="done", started=run.queued, finished=run.queued))


def outcome(history: History, key: str) -> str | None:
    run = history.get(key)
    return run.outcome if run else None


@pytest.mark.parametrize(
    ("is_open", "due", "expected", "recorded"),
    [
        (False, 1, Claim.OURS, "queued"),
        (False, 0, Claim.TAKEN, None),
        (False, -1, Claim.TAKEN, None),
        (False, None, Claim.OURS, "queued"),
        (True, 1, Claim.OVERLAPPED, "overlapped"),
        (True, 0, Claim.TAKEN, None),
        (True, -1, Claim.TAKEN, None),
        (True, None, Claim.OVERLAPPED, None),
    ],
)
def test_a_claim(history: History, is_open: bool, due: int | None, expected: Claim, recorded: str | None) -> None:
    """After a run that was due at noon: what becomes of a wish to run, and what is written down of it.

    A run by hand that would overlap leaves nothing behind; a time of the schedule is recorded as passed over.
    """
    assert claim(history.database, run_of("1", NOON)) is Claim.OURS
    if not is_open:
        end(history, "1")
    wish = run_of("2", None if due is None else NOON + due * HOUR)
    assert claim(history.database, wish) is expected
    assert outcome(history, "2") == recorded
    assert outcome(history, "1") == ("queued" if is_open else "done")


def test_a_time_that_overlapped_is_dealt_with(history: History) -> None:
    """It is not taken on again when the run before it has ended."""
    claim(history.database, run_of("1", NOON))
    assert claim(history.database, run_of("2", NOON + HOUR)) is Claim.OVERLAPPED
    end(history, "1")
    assert claim(history.database, run_of("3", NOON + HOUR)) is Claim.TAKEN
    assert claim(history.database, run_of("4", NOON + 2 * HOUR)) is Claim.OURS


@pytest.mark.parametrize(
    ("is_believed", "expected", "after"), [(False, Claim.OURS, Claim.OURS), (True, Claim.TAKEN, Claim.TAKEN)]
)
def test_a_time_of_the_future(history: History, is_believed: bool, expected: Claim, after: Claim) -> None:
    """A stored time that cannot have come yet counts for nothing, and is replaced by the one that was taken."""
    asked = []

    def belief(stored: datetime) -> bool:
        asked.append(stored)
        return is_believed

    pass_over(history.database, "copy", NOON + 100 * HOUR)
    assert claim(history.database, run_of("1", NOON), is_believed=belief) is expected
    assert asked == [NOON + 100 * HOUR]
    if expected is Claim.OURS:
        end(history, "1")
    assert claim(history.database, run_of("2", NOON + HOUR)) is after


def test_times_that_are_passed_over(history: History) -> None:
    """Up to the one that is named, none is taken; nothing is recorded; what comes later is as usual."""
    pass_over(history.database, "copy", NOON)
    pass_over(history.database, "copy", NOON - HOUR)
    assert claim(history.database, run_of("1", NOON)) is Claim.TAKEN
    assert claim(history.database, run_of("2", NOON + HOUR)) is Claim.OURS
    assert (outcome(history, "1"), outcome(history, "2")) == (None, "queued")


def test_who_has_claimed_it(history: History) -> None:
    """The daemon that took the run on is written down with it, so that nobody else starts it."""
    claim(history.database, run_of("1", NOON), daemon="ours")
    [(daemon,)] = history.database.read(lambda query: query("SELECT daemon FROM run WHERE id = ?", "1"))
    assert daemon == "ours"

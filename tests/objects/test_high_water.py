"""Sources that only grow: the usual run lists what is new, and nothing that was written is ever missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.objects.high_water import HighWater, ListingPace, Marks, family_of
from keepstep.objects.target_state import TargetState
from keepstep.stores.interface import EVERYTHING, Page, Span

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PACE = ListingPace()


def us(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def report_key(day: datetime, number: int = 1, family: str = "FOCUS Reports") -> str:
    return f"{family}/{day:%Y/%m/%d}/{number:016}-00001.csv.gz"


def page_of(items: dict[str, datetime]) -> Page:
    keys = sorted(items)
    return Page(keys, [1] * len(keys), [us(items[key]) for key in keys], [""] * len(keys))


def listed(run: HighWater, items: dict[str, datetime]) -> list[str]:
    return [key for key in sorted(items) if any(span.holds(key) for span in run.spans())]


def year() -> dict[str, datetime]:
    days = [NOW - timedelta(days=n) for n in range(365)]
    return {report_key(day, n): day for day in days for n in range(4)}


@pytest.mark.parametrize(
    ("key", "family"),
    [
        ("FOCUS Reports/2026/11/20/0001-00001.csv.gz", "FOCUS Reports/"),
        ("reports/cost-csv/0001000000123456.csv.gz", "reports/cost-csv/"),
        ("a/b", "a/"),
        ("name", ""),
        ("a/1b/c", "a/"),
        ("2026/x", ""),
    ],
)
def test_families(key: str, family: str) -> None:
    """A family's keys share what stands before the first name that begins with a digit."""
    assert family_of(key) == family


def test_the_second_run_lists_the_last_days() -> None:
    """After a whole listing the next run lists about a week, of every family, and what has come since."""
    items = year() | {f"reports/cost-csv/{1000 - n:016}.csv.gz": NOW - timedelta(days=n) for n in range(1, 300)}
    first = HighWater(PACE, NOW)
    assert first.spans() == EVERYTHING
    first.see(page_of(items))
    later = NOW + timedelta(hours=6)
    items[report_key(later, 99)] = later
    second = HighWater(PACE, later, first.marks())
    seen = listed(second, items)
    assert report_key(later, 99) in seen
    assert {family_of(key) for key in seen} == {"FOCUS Reports/", "reports/cost-csv/"}
    assert len(seen) < 60


def test_everything_is_listed_again_every_day() -> None:
    """Marks count for a day; a clock that was set back makes them doubtful, and ``0s`` turns them off."""
    marks = Marks(NOW, {"FOCUS Reports/": "FOCUS Reports/2026/11/15/0"})
    assert HighWater(PACE, NOW + timedelta(hours=23), marks).spans() != EVERYTHING
    assert HighWater(PACE, NOW + timedelta(hours=24), marks).spans() == EVERYTHING
    assert HighWater(PACE, NOW - timedelta(hours=1), marks).spans() == EVERYTHING
    assert HighWater(ListingPace(full_every=timedelta()), NOW, marks).spans() == EVERYTHING


def test_runs_in_between_do_not_put_off_the_full_listing() -> None:
    """However often the last days are listed, a day after the last full listing everything is listed again."""
    run = HighWater(PACE, NOW)
    run.see(page_of(year()))
    for hour in range(1, 24):
        run = HighWater(PACE, NOW + timedelta(hours=hour), run.marks())
        assert not run.is_full
        assert run.marks().listed == NOW
    run = HighWater(PACE, NOW + timedelta(hours=24), run.marks())
    assert run.is_full
    assert run.marks().listed == NOW + timedelta(hours=24)


@pytest.mark.parametrize(
    ("days", "overlap", "first"),
    [
        ([20, 19, 18, 17, 16, 15, 14, 13], 5, "2026/11/14/"),
        ([20, 15, 14, 13], 5, "2026/11/14/"),
        ([20, 15, 13, 12], 5, "2026/11/13/"),
        ([20, 16, 15], 5, ""),
        ([20, 14], 5, "2026/11/14/"),
        ([20, 19, 18], 1, "2026/11/18/"),
        ([20, 19, 18], 0, "2026/11/19/"),
        ([20], 0, ""),
    ],
)
def test_where_the_last_days_begin(days: list[int], overlap: int, first: str) -> None:
    """At the newest day before the overlap; at everything, where there is none."""
    run = HighWater(ListingPace(overlap=timedelta(days=overlap)), NOW)
    run.see(page_of({report_key(day): day for n in days for day in [NOW.replace(day=n)]}))
    assert run.marks().first == {"FOCUS Reports/": f"FOCUS Reports/{first}"}


def test_a_target_that_holds_something_else_is_not_believed() -> None:
    """Marks count while the target holds exactly what the last run left there, of whatever it met and brought."""
    items = year()
    first = HighWater(PACE, NOW)
    first.see(page_of(items), page_of({"own.txt": NOW}))
    marks = first.marks()
    there = TargetState()
    there.add_all(page_of(items | {"own.txt": NOW}))
    assert HighWater(PACE, NOW, marks).believes(there)
    for changed in ({}, {"own.txt": NOW}, items):
        other = TargetState()
        other.add_all(page_of(changed))
        run = HighWater(PACE, NOW, marks)
        assert not run.believes(other)
        assert run.spans() == EVERYTHING
    assert not HighWater(PACE, NOW, marks).believes(None)
    assert not HighWater(PACE, NOW, Marks(NOW, marks.first)).believes(TargetState())


def test_a_full_listing_starts_over() -> None:
    """What earlier runs noted of families, and of what the target holds, counts for nothing any more."""
    earlier = HighWater(PACE, NOW - timedelta(days=2))
    earlier.see(page_of(year() | {"gone/2026/x": NOW}), page_of({"gone/2026/x": NOW}))
    run = HighWater(PACE, NOW, earlier.marks())
    assert run.is_full
    run.see(page_of(year()), page_of(year()))
    there = TargetState()
    there.add_all(page_of(year()))
    marks = run.marks()
    assert marks.first.keys() == {"FOCUS Reports/"}
    assert marks.held == str(there)


def test_without_marks_nothing_is_believed() -> None:
    """The first run of all lists everything, whatever the target holds."""
    assert not HighWater(PACE, NOW).believes(TargetState())


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 3)), min_size=1, max_size=6))
def test_what_is_held_is_reckoned_run_by_run(runs: list[dict[str, int]]) -> None:
    """A run that listed the last days alone knows what the target holds as well as one that listed everything."""
    target: dict[str, int] = {}
    marks: Marks | None = None
    for turn, source in enumerate(runs):
        run = HighWater(ListingPace(full_every=timedelta(days=1000)), NOW + timedelta(days=turn), marks)
        page = Page(
            sorted(source), [source[k] for k in sorted(source)], [us(NOW)] * len(source), [""] * len(source)
        )
        theirs = Page(sorted(target), [target[k] for k in sorted(target)], [0] * len(target), [""] * len(target))
        run.see(page, theirs)
        target |= source
        expected = TargetState()
        for key, size in target.items():
            expected.add(key, size)
        marks = run.marks()
        assert marks.held == str(expected)


def test_what_is_asked_for_is_not_widened() -> None:
    """Marks narrow what the filters reach, and reach nothing beyond it."""
    marks = Marks(NOW, {"a/": "a/5", "b/": "b/5"})
    spans = HighWater(PACE, NOW, marks).spans([Span("a/", "a/9")])
    assert any(span.holds("a/7") for span in spans)
    assert not any(span.holds(key) for span in spans for key in ("a/4", "b/7"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4), st.integers(1, 9)), max_size=60))
def test_reports_that_come_in_time_are_never_missed(reports: list[tuple[int, int, int]]) -> None:
    """However reports arrive, each at most four days late, every run sees all that came since the last one."""
    written: dict[str, datetime] = {}
    marks: Marks | None = None
    taken: set[str] = set()
    for turn in range(42):
        now = NOW + timedelta(days=turn)
        for day, late, number in reports:
            if day + late == turn:
                written[report_key(NOW + timedelta(days=day), number)] = now
        run = HighWater(ListingPace(full_every=timedelta(days=1000)), now, marks)
        seen = listed(run, written)
        run.see(page_of({key: written[key] for key in seen}))
        marks = run.marks()
        taken |= set(seen)
        assert taken == set(written)

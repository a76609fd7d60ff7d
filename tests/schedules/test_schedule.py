"""Schedules: the grammar, the next time, and daylight saving."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.schedules.cron import parse_cron
from keepstep.schedules.schedule import Schedule, local_zone, parse_schedule, zone_of
from keepstep.units import parse_duration

BERLIN = ZoneInfo("Europe/Berlin")


def times(text: str, start: str, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """The next local times behind a local time."""
    schedule, moment, found = parse_schedule(text, zone), datetime.fromisoformat(start).replace(tzinfo=zone), []
    for _ in range(count):
        moment = schedule.after(moment) or pytest.fail("no next time")
        found.append(moment.astimezone(zone).strftime("%m-%d %H:%M%z"))
    return found


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("*/20 * * * *", "2026-01-05T10:19", ["01-05 10:20+0100", "01-05 10:40+0100", "01-05 11:00+0100"]),
        ("0 */6 * * *", "2026-01-05T18:00", ["01-06 00:00+0100", "01-06 06:00+0100"]),
        ("@hourly", "2026-01-05T10:00", ["01-05 11:00+0100", "01-05 12:00+0100"]),
        ("15 8 * * mon-fri", "2026-01-02T09:00", ["01-05 08:15+0100", "01-06 08:15+0100"]),
        ("0 0 * * 0", "2026-01-01T00:00", ["01-04 00:00+0100", "01-11 00:00+0100"]),
        ("0 0 * * 7", "2026-01-01T00:00", ["01-04 00:00+0100", "01-11 00:00+0100"]),
        ("0 0 * JAN,dec Sun", "2026-01-20T00:00", ["01-25 00:00+0100", "12-06 00:00+0100"]),
        # either day matches when both are given
        ("0 0 13 * fri", "2026-03-07T00:00", ["03-13 00:00+0100", "03-20 00:00+0100"]),
        ("0 0 1,15 * mon", "2026-06-01T00:00", ["06-08 00:00+0200", "06-15 00:00+0200", "06-22 00:00+0200"]),
        # both must when one begins with a star, even with a step
        ("0 0 */2 * mon", "2026-11-01T12:00", ["11-09 00:00+0100", "11-23 00:00+0100"]),
        ("0 0 29 2 *", "2097-01-01T00:00", ["02-29 00:00+0100"]),
        ("1-10/4,30 5 * * *", "2026-01-05T00:00", ["01-05 05:01+0100", "01-05 05:05+0100", "01-05 05:09+0100"]),
    ],
)
def test_next_times(text: str, start: str, expected: list[str]) -> None:
    """The next times are those of Debian's cron."""
    assert times(text, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        # 29 March 2026, 02:00 becomes 03:00
        ("30 2 * * *", "2026-03-28T12:00", ["03-29 03:00+0200", "03-30 02:30+0200"]),
        ("0,20,40 2 * * *", "2026-03-28T12:00", ["03-29 03:00+0200", "03-30 02:00+0200"]),
        ("30 * * * *", "2026-03-29T01:00", ["03-29 01:30+0100", "03-29 03:30+0200"]),
        ("*/30 2 * * *", "2026-03-28T12:00", ["03-30 02:00+0200", "03-30 02:30+0200"]),
        # 25 October 2026, 03:00 becomes 02:00
        ("30 2 * * *", "2026-10-24T12:00", ["10-25 02:30+0200", "10-26 02:30+0100"]),
        ("30 * * * *", "2026-10-25T01:45", ["10-25 02:30+0200", "10-25 02:30+0100", "10-25 03:30+0100"]),
        ("0 3 * * *", "2026-10-24T12:00", ["10-25 03:00+0100", "10-26 03:00+0100"]),
    ],
)
def test_daylight_saving(text: str, start: str, expected: list[str]) -> None:
    """A fixed time that is skipped comes at once, one that comes twice counts once; ``*`` follows the clock."""
    assert times(text, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("* * * *", "4 fields"),
        ("* * * * * *", "6 fields"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of month"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "day of week"),
        ("* * * * monday", "day of week"),
        ("* * * foo *", "month"),
        ("5/2 * * * *", "step needs a range"),
        ("*/0 * * * *", "step cannot be 0"),
        ("1,,2 * * * *", "minute"),
        ("5-1 * * * *", "backwards"),
        ("* * * * fri-sun", "backwards"),
        ("0 0 30 2 *", "never occurs"),
        ("0 0 31 4,6 *", "never occurs"),
        ("@fortnightly", "1 fields"),
        ("@every", "not a duration"),
        ("@every 0s", "at least one second"),
        ("L * * * *", "minute"),
        ("٣ * * * *", "minute"),
    ],
)
def test_mistakes_are_explained(text: str, complaint: str) -> None:
    """What cron would refuse, or never run, is refused with the field and the reason."""
    with pytest.raises(ValueError, match=complaint):
        parse_schedule(text, UTC)


def test_every_is_the_same_everywhere() -> None:
    """``@every`` counts from 1970: whenever somebody starts to look, the times are the same."""
    schedule = parse_schedule("@every 7m")
    start = datetime(2026, 1, 5, 10, 0, 30, tzinfo=UTC)
    seen = {schedule.after(start + timedelta(seconds=n)) for n in range(0, 420, 7)}
    assert len(seen) == 2
    first, second = sorted(moment for moment in seen if moment)
    assert second - first == timedelta(minutes=7)
    assert first.timestamp() % 420 == 0


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("10:00", "10:14", None),
        ("10:00", "10:15", "10:15"),
        ("10:00", "10:29", "10:15"),
        ("10:00", "10:30", "10:30"),
        ("10:14", "10:15", "10:15"),
        ("10:15", "10:16", None),
        ("10:15", "10:15", None),
        ("10:01", "13:59", "13:45"),
    ],
)
@pytest.mark.parametrize("text", ["@every 15m", "*/15 * * * *"])
def test_the_latest_time_of_an_interval(text: str, since: str, until: str, expected: str | None) -> None:
    """The last time that is later than ``since`` and not later than ``until``; ``@every`` and cron alike."""

    def at(clock: str) -> datetime:
        return datetime.fromisoformat(f"2026-01-05T{clock}+00:00")

    assert parse_schedule(text, UTC).latest(at(since), at(until)) == (expected and at(expected))


JOHNS = ZoneInfo("America/St_Johns")
"""Until 2011 its clock was changed a minute after midnight: in autumn from 00:01 to 23:01 of the day before."""


@pytest.mark.parametrize(
    ("text", "zone", "since", "until", "expected"),
    [
        # midnight of the 7th has been when the clock shows the 6th again
        ("0 0 * * *", JOHNS, "2010-11-06T15:00", "2010-11-07T03:00", "2010-11-07T02:30"),
        ("0 0 * * *", JOHNS, "2010-11-07T02:30", "2010-11-07T03:00", None),
        ("30 0 * * *", JOHNS, "2010-03-13T15:00", "2010-03-14T15:00", "2010-03-14T03:31"),
        ("0 0 * * *", JOHNS, "2010-03-13T15:00", "2010-03-14T15:00", "2010-03-14T03:30"),
        # 00:00 becomes 01:00 in Beirut
        ("0 0 * * *", ZoneInfo("Asia/Beirut"), "2026-03-28T12:00", "2026-03-29T12:00", "2026-03-28T22:00"),
        ("*/20 0 * * *", ZoneInfo("Asia/Beirut"), "2026-03-28T12:00", "2026-03-29T12:00", None),
        # 00:00 becomes 23:00
        ("30 23 * * *", ZoneInfo("Asia/Beirut"), "2026-10-24T12:00", "2026-10-25T12:00", "2026-10-24T20:30"),
        ("*/30 23 * * *", ZoneInfo("Asia/Beirut"), "2026-10-24T12:00", "2026-10-25T12:00", "2026-10-24T21:30"),
        ("0 0 * * *", ZoneInfo("Asia/Beirut"), "2026-10-24T12:00", "2026-10-25T12:00", "2026-10-24T22:00"),
    ],
)
def test_the_latest_time_where_a_clock_changes_around_midnight(
    text: str, zone: ZoneInfo, since: str, until: str, expected: str | None
) -> None:
    """A time belongs to its own day, whatever day the clock shows before and after it."""

    def at(moment: str) -> datetime:
        return datetime.fromisoformat(f"{moment}+00:00")

    schedule = parse_schedule(text, zone)
    assert schedule.latest(at(since), at(until)) == (expected and at(expected))
    assert expected is None or schedule.after(at(since)) is not None


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["@every 7m", "*/25 * * * *", "30 2 * * *", "15 0 * * *", "59 23 29 * mon", "0 12 1 1 *"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 30)),
    st.timedeltas(timedelta(), timedelta(days=40)),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Beirut", "America/Havana"]),
)
def test_the_latest_time_is_the_last_of_the_next_ones(
    text: str, moment: datetime, long: timedelta, zone: str
) -> None:
    """Going from time to time, the last one that is not beyond the end is the latest."""
    schedule, since = parse_schedule(text, ZoneInfo(zone)), moment.replace(tzinfo=UTC)
    until, found = since + min(long, timedelta(days=2) if "every" in text or "/" in text else long), None
    while (found_next := schedule.after(found or since)) and found_next <= until:
        found = found_next
    assert schedule.latest(since, until) == found


def test_reboot_is_never_due_by_the_clock() -> None:
    """``@reboot`` means a start of the daemon."""
    schedule = parse_schedule("@reboot")
    assert schedule.is_startup
    assert schedule.after(datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_the_period_tells_how_often() -> None:
    """The distance between the next two times."""
    assert parse_schedule("0 */6 * * *", UTC).period(datetime(2026, 1, 1, tzinfo=UTC)) == timedelta(hours=6)
    assert parse_schedule("@reboot").period(datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_the_machines_zone_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """``TZ`` decides, as for cron; an unknown zone is named."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    assert str(local_zone()) == "Asia/Kathmandu"
    with pytest.raises(ValueError, match="Mars/Olympus"):
        zone_of("Mars/Olympus")


_field = st.one_of(
    st.just("*"),
    st.integers(1, 5).map(lambda step: f"*/{step}"),
    st.lists(st.integers(1, 6), min_size=1, max_size=3).map(lambda numbers: ",".join(map(str, numbers))),
    st.tuples(st.integers(1, 3), st.integers(4, 6)).map(lambda ends: f"{ends[0]}-{ends[1]}"),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(_field, min_size=5, max_size=5),
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 30)),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
)
def test_nothing_is_passed_over(fields: list[str], moment: datetime, zone: str) -> None:
    """From any moment, the next time matches, and no minute before it does, however the clock is put."""
    text, where = " ".join(fields), ZoneInfo(zone)
    schedule, cron, start = parse_schedule(text, where), parse_cron(text), moment.replace(tzinfo=UTC)
    found = schedule.after(start)
    assert found and found > start
    minute = start.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(3 * 1440):
        if minute >= found:
            break
        assert not (cron.is_wild and _matches(schedule, minute.astimezone(where)))
        minute += timedelta(minutes=1)
    if cron.is_wild:
        assert _matches(schedule, found.astimezone(where))


def _matches(schedule: Schedule, local: datetime) -> bool:
    cron = schedule.cron
    assert cron
    return cron.fires_on(local.date()) and local.hour in cron.hours and local.minute in cron.minutes


@pytest.mark.parametrize("text", ["9" * 400 + "w", "99999999999w", "3661d", "1" * 200 + "s"])
def test_durations_of_centuries_are_refused(text: str) -> None:
    """By name, instead of what the calendar says when it ends."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)

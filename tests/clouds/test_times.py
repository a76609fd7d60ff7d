"""Dates of servers, read as far as they make sense."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from keepstep.clouds.retry import retry_after
from keepstep.clouds.times import http_microseconds, microseconds, skew_of

BEYOND = [
    "",
    "yesterday",
    "Fri, 32 Dec 2026 00:00:00 GMT",
    "Fri, 31 Dec 2026 25:61:61 GMT",
    "Fri, 31 Dec 0000 00:00:00 GMT",
    "Fri, 31 Dec 99999 00:00:00 GMT",
    "Mon, 01 Jan 2024 00:00:00 +99999999999999",
    "Mon, 01 Jan 2024 00:00:00 -9999",
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, ٠١ Jan 2024 00:00:00 GMT",
    "\udcff",
    "9" * 5000,
]


@pytest.mark.parametrize("text", BEYOND, ids=lambda text: ascii(text)[:40])
def test_what_is_beyond_the_calendar_is_no_date(text: str) -> None:
    """It is as if the header were not there; no error comes of it."""
    found = http_microseconds(text)
    assert found is None or isinstance(found, int)
    assert skew_of(text) is None
    wish = retry_after({"retry-after": text})
    assert wish is None or wish >= 0


def test_a_clock_is_believed_to_a_day() -> None:
    """A skew of hours is a wrong clock; one of days is nonsense, and signatures made by it would all be refused."""
    now = datetime.now(UTC)
    for off in (timedelta(hours=-23), timedelta(0), timedelta(hours=23)):
        skew = skew_of(format_datetime(now + off, usegmt=True))
        assert skew is not None
        assert abs(skew - off) < timedelta(seconds=10)
    for off in (timedelta(days=-2), timedelta(days=2), datetime.max.replace(tzinfo=UTC) - now):
        assert skew_of(format_datetime(now + off, usegmt=True)) is None


def test_a_wish_is_seconds_or_a_date() -> None:
    """Both forms of Retry-After, in seconds from now."""
    assert retry_after({"retry-after": "1.5"}) == 1.5
    soon = retry_after({"retry-after": format_datetime(datetime.fromtimestamp(time.time() + 30, UTC), usegmt=True)})
    assert soon is not None
    assert 25 < soon <= 30
    assert retry_after({}) is None


@pytest.mark.parametrize("text", ["Fri, 31 Dec 9999 23:59:59 GMT", "999999999", "86401"])
def test_a_wish_for_more_than_a_day_is_none(text: str) -> None:
    """The pause is then our own."""
    assert retry_after({"retry-after": text}) is None


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("99999-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999999Z"),
        ("10000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
        ("0000-01-01T00:00:00.000Z", "0001-01-01T00:00:00Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("2016-12-31T23:59:60.500+00:00", "2016-12-31T23:59:59Z"),
        ("2026-01-01T00:00:00", "2026-01-01T00:00:00Z"),
    ],
)
def test_times_of_objects_are_bounded_by_the_calendar(text: str, same: str) -> None:
    """What no calendar has is its last or first moment; a leap second is the second before it."""
    assert microseconds(text) == microseconds(same)


@pytest.mark.parametrize("text", ["", "soon", "1995-02-29T00:00:00Z", "99999-02-30T00:00:00Z", "99999", "9" * 5000])
def test_what_is_no_time_of_an_object_is_an_error(text: str) -> None:
    """A listing with it is not believed."""
    with pytest.raises(ValueError, match=r"time|day"):
        microseconds(text)

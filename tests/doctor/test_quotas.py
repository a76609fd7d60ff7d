"""When OCI Vault takes no more versions: a row for each line of the table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keepstep.doctor.quotas import forecast

NOW = datetime(2026, 1, 10, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("in_use", "waiting", "interval", "ends"),
    [
        (6, 1, DAY, None),
        (30, 2, DAY, None),
        (30, 28, DAY, NOW),
        (6, 20, DAY / 28, None),
        (6, 0, DAY / 72, NOW + 52 / 44 * DAY),
        (29, 27, DAY / 72, NOW + 2 / 44 * DAY),
    ],
    ids=["daily", "full but prunable", "full", "as fast as pruning", "every 20 minutes", "every 20 minutes, late"],
)
def test_the_date_is_forecast(in_use: int, waiting: int, interval: timedelta, ends: datetime | None) -> None:
    """Room lasts for ever up to what pruning keeps up with, and to a date beyond that."""
    found = forecast(in_use, [NOW + DAY] * waiting, interval, [], NOW)
    assert found.ends == ends


def test_the_pace_that_was_seen_counts() -> None:
    """Versions that came faster than the job's interval, by hand or by another tool, make the date nearer."""
    made = [NOW - number * timedelta(hours=1) / 2 for number in range(300)]
    found = forecast(6, [], DAY, made, NOW)
    assert found.a_day == pytest.approx(300 / 7)
    assert found.ends == pytest.approx(NOW + 52 / (300 / 7 - 28) * DAY, abs=timedelta(seconds=1))
    assert "2026-01-13" in found.text

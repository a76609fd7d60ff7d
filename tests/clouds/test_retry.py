"""What is repeated, when, and when no longer."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from keepstep.clouds.retry import retried, retry_after
from keepstep.clouds.times import http_microseconds, microseconds
from keepstep.errors import Conflict, Corrupt, Denied, Error, Transient


class Flaky:
    """Fails so many times, then succeeds."""

    def __init__(self, failures: int, error: BaseException) -> None:
        self._left = failures
        self._error = error
        self.calls: list[float] = []

    async def __call__(self) -> str:
        self.calls.append(time.monotonic())
        if len(self.calls) <= self._left:
            raise self._error
        return "done"

    @property
    def pauses(self) -> list[float]:
        return [b - a for a, b in zip(self.calls, self.calls[1:], strict=False)]


def at_once() -> Transient:
    return Transient("passing", retry_after=0.0)


@pytest.mark.parametrize("failures", [0, 1, 2, 7])
def test_passing_faults_are_waited_out(failures: int) -> None:
    """What succeeds in the end succeeds."""
    attempt = Flaky(failures, at_once())
    assert asyncio.run(retried(attempt)) == "done"
    assert len(attempt.calls) == failures + 1


def test_it_is_given_up_in_the_end() -> None:
    """After seven repetitions the last error is raised, as it was."""
    error = at_once()
    attempt = Flaky(99, error)
    with pytest.raises(Transient) as caught:
        asyncio.run(retried(attempt))
    assert caught.value is error
    assert len(attempt.calls) == 8


@pytest.mark.parametrize(
    "error", [Denied("no"), Conflict("changed"), Corrupt("torn"), Error("x"), ValueError("ours")]
)
@pytest.mark.parametrize("before", [0, 1])
def test_other_errors_are_never_repeated(error: Exception, before: int) -> None:
    """Only passing faults are; whatever else comes, at once or after some, is raised."""
    calls = 0

    async def attempt() -> None:
        nonlocal calls
        calls += 1
        raise at_once() if calls <= before else error

    with pytest.raises(type(error)):
        asyncio.run(retried(attempt))
    assert calls == before + 1


def test_the_servers_wish_is_honoured() -> None:
    """Neither the first repetition nor a later one comes before the time that the server asked for."""
    attempt = Flaky(2, Transient("slow down", retry_after=0.3))
    asyncio.run(retried(attempt))
    assert all(0.3 <= pause < 1 for pause in attempt.pauses)


def test_pauses_grow() -> None:
    """Without a wish the first pause is short, and later ones are longer."""
    attempt = Flaky(4, Transient("passing"))
    asyncio.run(retried(attempt))
    first, second, third, fourth = attempt.pauses
    assert 0.05 <= first < 0.3
    assert second >= 0.2
    assert third >= 0.4
    assert fourth >= 0.8


def test_waiting_can_be_cancelled() -> None:
    """Whoever is cancelled while it waits is cancelled, and tries no more."""
    attempt = Flaky(99, Transient("passing", retry_after=60.0))

    async def main() -> None:
        task = asyncio.create_task(retried(attempt))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert len(attempt.calls) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("7", 7.0), ("1.5", 1.5), ("", None), ("soon", None), ("-3", None), ("nan", None), ("inf", None)],
)
def test_retry_after_in_seconds(text: str, seconds: float | None) -> None:
    """A number of seconds is taken, anything that is none is as good as no header."""
    assert retry_after({"retry-after": text}) == seconds
    assert retry_after({}) is None


def test_retry_after_as_a_date() -> None:
    """A date says how long from now; one that has passed means at once."""
    now = datetime.now(UTC)
    ahead = retry_after({"retry-after": format_datetime(now + timedelta(seconds=30), usegmt=True)})
    assert ahead is not None
    assert 25 < ahead <= 31
    assert retry_after({"retry-after": format_datetime(now - timedelta(days=1), usegmt=True)}) == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00.000Z", 0),
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("2024-09-18T01:02:03.456Z", 1_726_621_323_456_000),
        ("2024-09-18T01:02:03.456789+02:00", 1_726_614_123_456_789),
        ("2024-09-18T01:02:03", 1_726_621_323_000_000),
        ("1969-12-31T23:59:59.999999+00:00", -1),
    ],
)
def test_times_are_microseconds_since_1970(text: str, expected: int) -> None:
    """Every form of ISO 8601 that the clouds write, with or without a zone and a fraction, is exact."""
    assert microseconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Thu, 01 Jan 1970 00:00:01 GMT", 1_000_000),
        ("Wed, 18 Sep 2024 01:02:03 GMT", 1_726_621_323_000_000),
        ("Wed, 18 Sep 2024 01:02:03 -0000", 1_726_621_323_000_000),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_http_dates(text: str | None, expected: int | None) -> None:
    """A Last-Modified header is exact to the second; what is not a date is no time, and no crash."""
    assert http_microseconds(text) == expected

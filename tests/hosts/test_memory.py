"""What a daemon keeps: nothing more after a thousand looks than after ten."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from keepstep.config import load
from keepstep.jobs.assembly import alerting_of
from keepstep.jobs.resolve import watches_of
from keepstep.schedules.cron import Cron
from keepstep.schedules.schedule import Schedule
from tests.hosts.fixtures import COPY, Place
from tests.monitoring.test_alerts import NOON
from tests.runs.test_history import a_run

_KEPT = (Schedule, Cron)
_LOOKS = 200


@pytest.mark.parametrize("zone", ["", 'timezone = "Europe/Berlin"'])
def test_looks_leave_nothing_behind(place: Place, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """However often alerts are looked at while runs succeed, no schedule and no memory is kept for it.

    The machine's time zone is read from its file, as where no variable names one.
    """
    monkeypatch.delenv("TZ", raising=False)
    config = load(place.configure(COPY.replace("@hourly", "* * * * *") + zone))
    history = place.history
    alerting = alerting_of(config, history.database)

    def look(number: int) -> None:
        now = NOON + number * timedelta(seconds=15)
        if number % 4 == 0:
            run = replace(a_run("copy", now), id=f"run-{number}")
            history.begin(run)
            history.end(replace(run, outcome="done", finished=now))
        alerting.look(watches_of(config), now)

    for number in range(20):
        look(number)
    before, blocks = _kept()
    for number in range(20, 20 + _LOOKS):
        look(number)
    after, more = _kept()
    assert after == before
    assert more - blocks < 20 * _LOOKS  # a schedule of every minute is more than a thousand
    history.database.close()


def _kept() -> tuple[Counter[type], int]:
    gc.collect()
    return Counter(type(each) for each in gc.get_objects() if type(each) in _KEPT), sys.getallocatedblocks()

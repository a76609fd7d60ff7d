"""Alerts: what raises them, and when they are told, by a clock of the test's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keepstep.monitoring.alerting import Alerting
from keepstep.monitoring.alerts import Alert, Condition, Message, decide
from keepstep.monitoring.channels import defused, meaning, named
from keepstep.monitoring.conditions import Audited, Watch, conditions
from keepstep.runs.history import History
from keepstep.runs.lifecycle import Line
from keepstep.schedules.schedule import parse_schedule
from keepstep.secret import Secret
from keepstep.state.place import place_of
from tests.runs.test_history import a_run

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIX = 6 * HOUR


class World:
    """A job's history, a channel that can refuse, and the alerts between them."""

    def __init__(self, url: str) -> None:
        self.database = place_of(url).open()
        self.history = History(self.database)
        self.sent: list[Message] = []
        self.refusal = ""
        self.watch = Watch(job="reports", kind="sync", schedule=parse_schedule("0 */6 * * *", UTC))
        self.alerting = Alerting(self.database, {"box": self._send}, SIX)

    def _send(self, message: Message) -> str:
        if not self.refusal:
            self.sent.append(message)
        return self.refusal

    def ran(self, at: datetime, outcome: str, *lines: Line, **changed: object) -> None:
        run = a_run("reports", at)
        self.history.begin(run)
        self.history.end(replace(run, outcome=outcome, finished=at, **changed), lines)  # type: ignore[arg-type]

    def told(self, at: datetime) -> list[str]:
        """The titles of what is sent when somebody looks then."""
        before = len(self.sent)
        self.alerting.look([self.watch], at)
        self.alerting.send(at)
        return [message.title for message in self.sent[before:]]

    def names(self, at: datetime) -> list[str]:
        return [
            condition.name
            for condition in conditions(self.watch, self.history.last_told(self.watch.job, at), self.history, at)
        ]


@pytest.fixture
def world(state_url: str) -> Iterator[World]:
    world = World(state_url)
    yield world
    world.database.close()


def a_condition(since: datetime = NOON) -> Condition:
    return Condition(job="j", name="failed", what="w", since=since, means="m", todo="t", command="c")


@pytest.mark.parametrize(
    ("condition", "alert", "minutes", "title", "times"),
    [
        (a_condition(), None, 0, "j: failed", 1),
        (a_condition(), 1, 359, None, 1),
        (a_condition(), 1, 360, "j: failed (reminder 1)", 2),
        (a_condition(), 2, 719, None, 2),
        (a_condition(), 2, 720, "j: failed (reminder 2)", 3),
        (a_condition(), 9, 7 * 1440 - 1, None, 9),
        (a_condition(), 9, 7 * 1440, "j: failed (reminder 9)", 10),
        (None, None, 0, None, None),
        (None, 3, 1, "j: recovered (failed)", None),
    ],
)
def test_the_table(
    condition: Condition | None, alert: int | None, minutes: int, title: str | None, times: int | None
) -> None:
    """Each line of the table in ``decide``: six hours, then twelve, and so on up to a week."""
    before = Alert(since=NOON, told=NOON, times=alert, text="w") if alert else None
    message, after = decide(condition, before, NOON + timedelta(minutes=minutes), SIX, "j", "failed")
    assert (message.title if message else None) == title
    assert (after.times if after else None) == times


def test_a_failure_is_told_once_then_ever_more_rarely_and_its_end_too(world: World) -> None:
    """A job that fails every six hours for a week: told at 0, 6, 18, 42, 90 hours; and when it is well again."""
    world.ran(NOON, "failed")
    told = []
    for hour in range(24 * 7):
        now = NOON + hour * HOUR
        if hour and hour % 6 == 0:
            world.ran(now, "failed")
        told += [hour] * len(world.told(now))
    assert told == [0, 6, 18, 42, 90]
    world.ran(NOON + 169 * HOUR, "done")
    assert world.told(NOON + 169 * HOUR) == ["reports: recovered (failed)"]
    assert world.told(NOON + 170 * HOUR) == []


def test_a_message_says_everything(world: World) -> None:
    """What, since when, what it means, what to do, and the command."""
    world.ran(NOON, "failed", Line("failure", {"error": "no bucket b", "hint": "make the bucket"}), host="vm7")
    world.told(NOON + HOUR)
    [message] = world.sent
    assert message.is_bad
    assert message.body.splitlines() == [
        "reports failed on vm7: no bucket b",
        "",
        "Since: 2026-03-02 12:00:00 UTC (1h ago)",
        "Impact: the target keeps what earlier runs transferred; a run whose listing fails deletes nothing",
        "What to do: make the bucket",
        "Command: keepstep status reports; then keepstep sync reports",
    ]


@pytest.mark.parametrize("outcome", ["done", "changed", "skipped", "terminated", "lost", "overlapped", "locked"])
def test_what_is_no_failure(world: World, outcome: str) -> None:
    """Success with warnings, a stop by hand, and a run that never began raise nothing."""
    world.ran(NOON, outcome)
    assert world.told(NOON + HOUR) == []


@pytest.mark.parametrize("outcome", ["failed", "refused", "misconfigured", "crashed", "overdue"])
def test_what_is_a_failure(world: World, outcome: str) -> None:
    """Also a guard's refusal, a crash and a missed deadline."""
    world.ran(NOON, outcome)
    assert world.told(NOON + HOUR) == ["reports: failed"]


def test_silence_is_told(world: World) -> None:
    """Three times of the schedule and an hour without success are an alert though nothing failed."""
    world.ran(NOON, "done")
    assert world.names(NOON + 19 * HOUR) == []
    assert world.names(NOON + 19.1 * HOUR) == ["no-success"]
    world.watch = replace(world.watch, success_within=HOUR)
    assert world.names(NOON + 1.1 * HOUR) == ["no-success"]


def test_a_job_that_never_ran_is_told(world: World) -> None:
    """Its first appearance is when the time begins to count."""
    run = a_run("reports", NOON)
    world.history.begin(run)
    assert world.names(NOON + 19 * HOUR) == []
    assert world.names(NOON + 20 * HOUR) == ["no-success"]


def test_nothing_new_is_told(world: World) -> None:
    """Runs succeed, but no object has come for longer than ``stale_after``; one that comes ends it."""
    world.watch = replace(world.watch, stale_after=30 * HOUR)
    world.ran(NOON, "done", counts={"upload": 3})
    world.ran(NOON + 30 * HOUR, "done", counts={"unchanged": 3})
    assert world.told(NOON + 30 * HOUR) == []
    assert world.told(NOON + 30.1 * HOUR) == ["reports: no new data for too long"]
    world.ran(NOON + 31 * HOUR, "done", counts={"upload": 1})
    assert world.told(NOON + 31 * HOUR) == ["reports: recovered (no new data for too long)"]


def a_concern(name: str, since: datetime) -> Line:
    words = {"text": "t", "means": "m", "hint": "h", "command": ""}
    return Line("concern", {"name": name, "since": since.isoformat(), **words})


def test_concerns_of_the_last_run_are_told(world: World) -> None:
    """Quota, window and audit at once; a pending rotation when it has been pending for too long."""
    world.watch = replace(world.watch, kind="rotate")
    names = ["oracle-window", "oci-quota", "audit", "pending"]
    world.ran(NOON, "done", *(a_concern(name, NOON) for name in names))
    assert world.names(NOON + HOUR) == names[:3]
    assert world.names(NOON + 2.1 * HOUR) == names
    world.told(NOON + 3 * HOUR)
    world.ran(NOON + 4 * HOUR, "done")
    assert len(world.told(NOON + 4 * HOUR)) == 4
    assert world.alerting.active() == {}


def test_two_processes_tell_once(world: World, state_url: str) -> None:
    """Of two that look at one state, one raises an alert, one repeats it, one ends it."""
    other = World(state_url)
    world.ran(NOON, "failed")
    for hours in (0, 6, 18):
        told = [each.told(NOON + hours * HOUR) for each in (world, other)]
        assert sorted(map(len, told)) == [0, 1]
    other.database.close()


def test_a_channel_that_fails_is_tried_again(world: World) -> None:
    """What it says is recorded; pauses grow to an hour; nothing is lost, and nothing is sent twice."""
    world.refusal = "451 try later"
    world.ran(NOON, "failed")
    world.alerting.look([world.watch], NOON)
    tries = [minute for minute in range(300) if world.alerting.send(NOON + timedelta(minutes=minute))]
    assert tries == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]
    [waiting] = world.alerting.waiting()
    assert (waiting.channel, waiting.attempts, waiting.error) == ("box", 10, "451 try later")
    world.refusal = ""
    assert world.alerting.send(NOON + 10 * HOUR) == []
    assert [message.title for message in world.sent] == ["reports: failed"]
    assert world.alerting.waiting() == []


def test_a_removed_job_and_a_removed_channel_are_forgotten(world: World) -> None:
    """Nothing is told of jobs that are gone, nor kept for channels that are gone."""
    world.ran(NOON, "failed")
    world.alerting.look([world.watch], NOON)
    bare = Alerting(world.database, {}, SIX)
    assert bare.send(NOON + timedelta(days=8)) == []
    bare.forget([], NOON + 25 * HOUR)
    assert bare.active() == {}
    assert world.alerting.send(NOON + timedelta(days=8)) == []
    assert world.sent == []


def test_an_alert_is_the_jobs_whoever_looks(world: World, state_url: str) -> None:
    """A daemon whose file lacks the job, or has other limits or channels, ends no alert and drops no message."""
    world.ran(NOON, "done")
    strict = replace(world.watch, success_within=HOUR)
    other = World(state_url)
    told = []
    for minute in range(0, 600, 5):
        now = NOON + 2 * HOUR + timedelta(minutes=minute)
        told += [message.title for message in world.alerting.look([strict], now)]
        told += [message.title for message in other.alerting.look([world.watch], now)]
        other.alerting.forget([], now)
        assert Alerting(world.database, {}, SIX).send(now) == []
    assert told == [
        "reports: no success for too long",
        "reports: no success for too long (reminder 1)",
    ]
    world.alerting.send(NOON + 12 * HOUR)
    assert [message.title for message in world.sent] == told
    world.ran(NOON + 13 * HOUR, "done")
    told = [message.title for message in other.alerting.look([world.watch], NOON + 13 * HOUR)]
    assert told == ["reports: recovered (no success for too long)"]
    other.database.close()


def test_a_clock_that_was_ahead_silences_nothing(world: World) -> None:
    """Neither a success, nor an alert, nor a message that was written half a year ahead is waited for."""
    future = NOON + timedelta(days=183)
    world.ran(future, "done")
    world.ran(future + timedelta(minutes=1), "failed")
    assert world.told(future + HOUR) == ["reports: failed"]
    world.refusal = "451"
    world.alerting.look([world.watch], future + 7 * HOUR)
    world.alerting.send(future + 7 * HOUR)
    world.refusal = ""
    world.ran(NOON, "failed")
    assert world.told(NOON + HOUR)
    world.ran(NOON + 2 * HOUR, "done")
    assert world.told(NOON + 2 * HOUR) == ["reports: recovered (failed)"]
    world.told(NOON + 90 * HOUR)
    assert "reports: no success for too long" in [message.title for message in world.sent]


SECRET = "s3cr3t-t0ken"

URLS = [
    "mailtos://ops:{}@smtp.example.com:587?to=a@example.com",
    "mailto:user:{}@example.com",
    "slack://{}/TokenBBBB1/TokenCCCC1aaaaaaaaaaaaaaa",
    "discord://{}/channel",
    "{}",
    "{}://host",
    "https://{}@example.com/",
    "json://host/?token={}",
    "workflows://host/{}/x",
]


@pytest.mark.parametrize("url", URLS)
def test_a_channels_name_tells_nothing_of_its_address(url: str) -> None:
    """Kind and number, whatever part of the address is secret and whatever mistake is in it."""
    [_, channel] = named([(None, Secret("json://x")), (None, Secret(url.format(SECRET)))])
    assert channel.name in {
        f"{kind}-2" for kind in ("mailtos", "mailto", "slack", "discord", "json", "workflows")
    } | {"unknown-2"}
    assert SECRET not in repr(channel)


def test_a_given_name_is_the_channels() -> None:
    """Users call their channels as they like."""
    assert [each.name for each in named([("ops", Secret("json://x"))])] == ["ops"]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Failed to send Slack notification to T0ken: Unauthorized, error=403.", "the service answered 403"),
        ("SMTPRecipientsRefused({'a@b': (550, b'no such user')})", "the server answered 550"),
        (
            "ConnectionError: HTTPSConnectionPool(host='s3cr3t'): [Errno 111] Connection refused",
            "the connection was refused",
        ),
        ("s3cr3t-t0ken is odd", "the channel did not accept the message"),
    ],
)
def test_what_a_channel_says_is_read_and_not_quoted(said: str, meant: str) -> None:
    """Services repeat tokens in their answers; only what we know the meaning of is told, in our words."""
    assert meaning(said) == meant


@pytest.mark.parametrize(
    "text",
    [
        "<!channel> <@U123> <http://evil|pay here>",
        "@everyone @here @ops",
        "[click](http://evil.example) https://evil.example www.evil.example",
        "<script>alert(1)</script> <a href='x'>",
    ],
)
def test_mentions_and_links_are_defused(text: str) -> None:
    """Nothing is found by what finds mentions, links and tags, and the text looks the same."""
    found = defused(text)
    assert found.replace("\u200b", "") == text
    assert not re.search(r"@\w|<[!@#/\w]|\]\(|https?:/|www\.\w", found)


@pytest.mark.parametrize("text", ["a\nCommand: rm -rf /", "a\x1b[2Jb", "\u202egnp.exe", "a\u2028b", "\udc80"])
def test_names_of_others_stay_in_their_line(world: World, text: str) -> None:
    """A message has the lines that we write, whatever an object is called."""
    world.ran(NOON, "failed", Line("failure", {"error": f"no object {text}", "hint": text}))
    world.told(NOON + HOUR)
    [message] = world.sent
    assert len(message.body.splitlines()) == 6
    assert message.body.replace("\n", "").isprintable()


def test_a_failure_outlives_runs_that_somebody_stopped(world: World) -> None:
    """A failing job whose next run is lost with its machine, or stopped, has not recovered."""
    world.ran(NOON, "failed")
    assert world.told(NOON + timedelta(minutes=1)) == ["reports: failed"]
    for minute, outcome in enumerate(("lost", "terminated", "interrupted", "failed"), start=2):
        world.ran(NOON + timedelta(minutes=minute), outcome)
        assert world.told(NOON + timedelta(minutes=minute, seconds=1)) == []
    world.ran(NOON + HOUR, "done")
    assert world.told(NOON + HOUR) == ["reports: recovered (failed)"]


def test_who_looks_late_tells_nothing_twice(world: World, state_url: str) -> None:
    """Of two that look at the same time one may be held up: its present is then the other one's past."""
    other = World(state_url)
    world.ran(NOON - HOUR, "done")
    world.ran(NOON, "failed")
    assert world.told(NOON + timedelta(seconds=40)) == ["reports: failed"]
    assert other.told(NOON + timedelta(seconds=1)) == []
    world.ran(NOON + timedelta(minutes=2), "done")
    assert world.told(NOON + timedelta(minutes=2)) == ["reports: recovered (failed)"]
    assert other.told(NOON + timedelta(minutes=1)) == []
    other.database.close()


def test_a_broken_audit_log_is_over_only_for_who_has_verified_it(world: World) -> None:
    """It is told once. Neither who has not verified the log nor an older verdict ends it; a later verdict does.

    Neither does a run that ended well meanwhile: runs do not tell how the log stands.
    """
    plain = replace(world.watch, kind="rotate", has_audit=True)
    found, later = NOON + HOUR, NOON + 2 * HOUR
    world.ran(NOON, "done")
    world.watch = replace(plain, audited=Audited(found, "s3://audit/app/", "entry 2 is missing"))
    assert world.told(found) == ["reports: the audit log is broken"]
    assert (
        "entry 2 is missing" in world.sent[-1].body
        and "keepstep audit verify s3://audit/app/" in world.sent[-1].body
    )
    world.ran(found + HOUR / 4, "done")
    for audited in (None, Audited(NOON, "s3://audit/app/", "")):
        world.watch = replace(plain, audited=audited)
        assert world.told(found + HOUR / 2) == []
    world.watch = replace(plain, audited=Audited(later, "s3://audit/app/", ""))
    assert world.told(later) == ["reports: recovered (the audit log is broken)"]


def test_a_job_that_has_no_audit_log_any_more_has_no_broken_one(world: World) -> None:
    """When the setting goes, the alert is over."""
    world.ran(NOON, "done")
    plain = replace(world.watch, kind="rotate", has_audit=True)
    world.watch = replace(plain, audited=Audited(NOON, "s3://audit/app/", "entry 2 is missing"))
    assert world.told(NOON) == ["reports: the audit log is broken"]
    world.watch = replace(plain, has_audit=False)
    assert world.told(NOON + HOUR) == ["reports: recovered (the audit log is broken)"]

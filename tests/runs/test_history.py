"""The history holds what was written, in a file and in PostgreSQL alike."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keepstep.errors import ConfigError, NotFound
from keepstep.runs.history import History
from keepstep.runs.lifecycle import Line
from keepstep.runs.recording import Recording
from keepstep.runs.report import Action, Failure, Report, action_log
from keepstep.runs.run import Run, new_id, outcome_of
from keepstep.state.place import place_of

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


def a_run(job: str = "reports", at: datetime = NOW, **changed: object) -> Run:
    run = Run(id=new_id(at), job=job, kind="sync", host="h", cause="hand", queued=at, seen=at, outcome="running")
    return replace(run, started=at, **changed)  # type: ignore[arg-type]


def ended(run: Run, outcome: str = "done", after: float = 5.0, **changed: object) -> Run:
    return replace(run, outcome=outcome, finished=run.queued + timedelta(seconds=after), **changed)  # type: ignore[arg-type]


@pytest.fixture
def history(state_url: str) -> History:
    return History(place_of(state_url).open())


def test_a_run_comes_back_as_it_was_written(history: History) -> None:
    """Every field, also counts, requests and price, survives the way into the state and back."""
    run = a_run()
    history.begin(run)
    done = ended(
        run,
        exit_code=0,
        source="oci://b@n/",
        target="s3://b/",
        bytes=2**40,
        price=0.0123,
        counts={"upload": 3},
        requests={"PutObject": 3},
    )
    assert history.end(done, [Line("failure", {"error": "no"}), Line("warning", {"text": "hm"})])
    assert history.get(run.id) == done
    assert history.lines(run.id) == [Line("failure", {"error": "no"}), Line("warning", {"text": "hm"})]
    assert history.lines(run.id, "warning") == [Line("warning", {"text": "hm"})]


def test_a_run_ends_once(history: History) -> None:
    """The first to say how a run ended is believed, and counted; a second one changes nothing."""
    run = a_run()
    history.begin(run)
    assert history.end(ended(run, "done"))
    assert not history.end(ended(run, "lost"))
    stored = history.get(run.id)
    assert stored and stored.outcome == "done"
    assert history.totals()["reports", "runs", "done"] == 1
    assert ("reports", "runs", "lost") not in history.totals()


def test_beats_show_life_and_progress(history: History) -> None:
    """A running job's last sign of life and its progress can be read by others."""
    run = a_run()
    history.begin(run)
    history.beat(run.id, at=NOW + timedelta(seconds=30), progress={"done": 7})
    [seen] = history.open()
    assert seen.seen == NOW + timedelta(seconds=30)
    assert seen.progress == {"done": 7}


def test_the_latest_come_first_and_idle_ones_do_not_hide_the_last(history: History) -> None:
    """``recent`` is newest first; ``last_ended`` passes over runs that never began."""
    for minute, outcome in enumerate(["done", "failed", "overlapped"]):
        run = a_run(at=NOW + timedelta(minutes=minute))
        history.begin(run)
        history.end(ended(run, outcome))
    assert [run.outcome for run in history.recent("reports")] == ["overlapped", "failed", "done"]
    last = history.last_ended("reports")
    assert last and last.outcome == "failed"


def test_success_and_news_outlive_their_runs(history: History) -> None:
    """Runs are forgotten after 90 days; when the job last succeeded, what is new and the totals are not."""
    old = a_run(at=NOW - timedelta(days=91))
    young = a_run(at=NOW - timedelta(days=89), outcome="running")
    for run, outcome, counts in ((old, "done", {"upload": 2}), (young, "failed", {"failed": 1})):
        history.begin(run)
        history.end(ended(run, outcome, counts=counts), [Line("warning", {"text": "x"})])
    assert history.prune(NOW) == 1
    assert history.get(old.id) is None
    assert history.lines(old.id) == []
    assert history.get(young.id) is not None
    facts = history.facts("reports")
    assert facts and facts.last_success == facts.last_new == old.queued + timedelta(seconds=5)
    assert history.totals()["reports", "actions", "upload"] == 2


def test_an_open_run_is_never_pruned(history: History) -> None:
    """However long it takes."""
    run = a_run(at=NOW - timedelta(days=200))
    history.begin(run)
    assert history.prune(NOW) == 0
    assert history.get(run.id) == run


def test_a_second_connection_sees_everything(state_url: str) -> None:
    """Two processes with one state share one history."""
    ours, theirs = History(place_of(state_url).open()), History(place_of(state_url).open())
    run = a_run()
    ours.begin(run)
    assert theirs.get(run.id) == run


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """The state can be read and written by its owner only."""
    path = tmp_path / "made" / "state.db"
    place_of(f"sqlite:///{path}").open().close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link in the place of the state is refused, and what it points to stays as it is."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.symlink(victim, tmp_path / "state.db")
    with pytest.raises(ConfigError, match="cannot keep the state"):
        place_of(f"sqlite:///{tmp_path}/state.db").open()
    assert victim.read_text() == "precious"


def test_looking_makes_nothing(tmp_path: Path) -> None:
    """A state that is not there can be missed without being made."""
    with pytest.raises(NotFound):
        place_of(f"sqlite:///{tmp_path}/state.db").look()
    assert list(tmp_path.glob("state*")) == []


@pytest.mark.parametrize("url", ["mysql://x", "sqlite://relative", "postgresql://u:hunter2@h/db?nonsense=1"])
def test_a_url_of_another_kind_is_refused_without_saying_it(url: str) -> None:
    """It may hold a password, so the message does not repeat it."""
    with pytest.raises(ConfigError) as caught:
        place_of(url).open()
    assert url not in str(caught.value)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """What is no database is an error that names the file; it is not overwritten."""
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database, but something else entirely" * 100)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"state\.db"):
        place_of(f"sqlite:///{path}").open()
    assert path.read_bytes() == before


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    """A state written by a newer keepstep is not touched."""
    url = f"sqlite:///{tmp_path}/state.db"
    database = place_of(url).open()
    database.write(lambda query: query("UPDATE keepstep_schema SET version = 99"))
    database.close()
    with pytest.raises(ConfigError, match="newer keepstep"):
        place_of(url).open()


@pytest.mark.parametrize(("code", "outcome"), [(0, "done"), (3, "changed"), (6, "locked"), (-9, "crashed")])
def test_exit_codes_are_outcomes(code: int, outcome: str) -> None:
    """Each exit code of the table has its name; what is not in it is a crash."""
    assert outcome_of(code) == outcome


def test_what_did_not_change_is_no_row(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three hundred secrets of which one changed, one action is kept, and the others are a number."""
    with Recording("app", "secrets", history) as recording:
        report = recording.report = Report("secrets", "app", "h", NOW, actions=action_log())
        assert report.actions is not None
        for number in range(300):
            word = "update" if number == 7 else "keep"
            report.actions.add(Action(word, f"source {number}", f"/run/secrets/{number}", None, "because"))
            report.counts["unchanged" if word == "keep" else word] += 1
        report.fail(Failure("fetch", None, None, "x" * 2**20, None))
    [run] = history.recent("app")
    assert [line.body["target"] for line in history.lines(run.id, "action")] == ["/run/secrets/7"]
    assert run.counts["unchanged"] == 299
    assert len(history.lines(run.id, "failure")[0].body["error"]) < 5000

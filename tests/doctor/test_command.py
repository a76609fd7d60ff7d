"""The command: what it looks at, how it ends, what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepstep.doctor.catalogue import CHECKS, TROUBLES
from tests.cli.inprocess import keepstep
from tests.doctor.worlds import configure, doctor

DOCS = Path(__file__).parents[2] / "docs/doctor.md"
COPY = '[job.copy]\nkind = "sync"\nsource = "{0}/in"\ntarget = "{0}/out"\n'


def test_a_wrong_file_is_named_and_nothing_else_is_done(tmp_path: Path) -> None:
    """A mistake in keepstep.toml ends with 5 and is named."""
    config = configure(tmp_path, '[job.copy]\nkind = "sync"\nsauce = "/a"\ntarget = "/b"\n')
    report = doctor(config)
    assert report.code == 5 and "did you mean source" in report.err and not report.checks


def test_a_job_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Ends with 5, and names the jobs that there are."""
    report = doctor(configure(tmp_path, COPY.format(tmp_path)), "cop")
    assert report.code == 5 and "did you mean copy" in report.err


def test_nothing_to_look_at_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file, a variable or a map it ends with 5 and says what could be given."""
    monkeypatch.chdir(tmp_path)
    report = doctor(None)
    assert report.code == 5 and "SYNC_FROM" in report.err


def test_people_read_lines(tmp_path: Path) -> None:
    """A line for each check, the fix beneath a failure, and the sum; --quiet leaves the failures."""
    config = configure(tmp_path, COPY.format(tmp_path))
    ran = keepstep("--config", str(config), "doctor")
    assert ran.code == 1
    assert f"FAIL  source-list  copy: {tmp_path}/in: there is no such folder" in ran.out
    assert f"      fix: mkdir -p {tmp_path}/in" in ran.out
    assert ran.out.splitlines()[-1].startswith("6 ok, 1 fail, 0 unknown")
    quiet = keepstep("--config", str(config), "--quiet", "doctor")
    assert len(quiet.out.splitlines()) == 2 and quiet.code == 1


def test_the_state_is_looked_at_and_not_made(tmp_path: Path) -> None:
    """A folder that others can write fails; the state is not made by looking."""
    (tmp_path / "in").mkdir()
    config = configure(tmp_path, COPY.format(tmp_path))
    assert doctor(config).code == 0
    assert list((tmp_path / "state").iterdir()) == []
    (tmp_path / "state").chmod(0o777)
    report = doctor(config)
    assert report.failed == {"state"} and "chmod go-w" in report.of("state")["fix"]


def test_a_damaged_state_is_found(tmp_path: Path) -> None:
    """A state file that is none fails, with what to do."""
    (tmp_path / "in").mkdir()
    config = configure(tmp_path, COPY.format(tmp_path))
    (tmp_path / "state/state.db").write_bytes(b"no database" * 100)
    report = doctor(config)
    assert "state" in report.failed and "move" in report.of("state")["fix"]


def test_runs_that_failed_are_remembered(tmp_path: Path) -> None:
    """After a run that failed the history fails, with what it said; after one that succeeded it is ok."""
    config = configure(tmp_path, COPY.format(tmp_path))
    assert keepstep("--config", str(config), "sync", "copy").code != 0
    report = doctor(config)
    assert "history" in report.failed and "keepstep status copy" in report.of("history")["fix"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_text("1")
    assert keepstep("--config", str(config), "sync", "copy").code == 0
    assert doctor(config).failed == set()


def test_a_schedule_without_a_daemon_is_unknown(tmp_path: Path) -> None:
    """When a job is due is said; whether anybody starts it then cannot be known without a daemon that answers."""
    (tmp_path / "in").mkdir()
    report = doctor(configure(tmp_path, COPY.format(tmp_path) + 'schedule = "@hourly"\n'))
    assert report.code == 0 and report.verdict("schedule") == "unknown"
    assert "keepstep.service" in report.of("schedule")["fix"]


def test_every_entry_of_the_troubleshooting_tables_has_its_check() -> None:
    """Each entry of the replaced tools' tables names a check that exists, and the documentation has both."""
    text = DOCS.read_text()
    for tool, entries in TROUBLES.items():
        for entry, name in entries.items():
            assert name in CHECKS, entry
            assert f"| {tool} | {entry} | `{name}` |" in text
    assert [len(TROUBLES[tool]) for tool in ("oci-rclone-sync", "oci-secretsync")] == [4, 4]


def test_every_check_is_documented() -> None:
    """The documentation's table is the catalogue."""
    text = DOCS.read_text()
    for name, meaning in CHECKS.items():
        assert f"| `{name}` | {meaning} |" in text

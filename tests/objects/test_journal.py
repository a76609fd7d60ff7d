"""What is noted for later runs, and what becomes of it."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest

from keepstep.objects.journal import OpenUpload, SyncJournal

UPLOAD = OpenUpload("a key \n ü", "token", "state", 5)


def test_an_upload_is_found_by_the_next_run_and_forgotten_when_it_ends(tmp_path: Path) -> None:
    """A later run of the same pair finds what was started, of this key and no other, until it is reported to be
    over."""
    first = SyncJournal(tmp_path / "state", "a", "b")
    assert first.begin(UPLOAD)
    assert first.abandoned() == []
    first.close()
    second = SyncJournal(tmp_path / "state", "a", "b")
    assert second.find(UPLOAD.key) == UPLOAD
    assert second.find("other") is None
    assert second.abandoned() == [UPLOAD]
    second.end(UPLOAD.key)
    assert second.find(UPLOAD.key) is None
    second.close()


def test_what_a_run_takes_up_is_not_abandoned(tmp_path: Path) -> None:
    """An upload that is noted again belongs to this run."""
    for _ in range(2):
        journal = SyncJournal(tmp_path, "a", "b")
        journal.begin(UPLOAD)
        assert journal.abandoned() == []
        journal.close()


def test_pairs_do_not_see_each_other(tmp_path: Path) -> None:
    """Another source, or another target, has notes of its own."""
    ours, other = SyncJournal(tmp_path, "a", "b"), SyncJournal(tmp_path, "a", "c")
    ours.begin(UPLOAD)
    assert other.find(UPLOAD.key) is None
    ours.close()
    other.close()


def test_of_two_runs_of_a_pair_one_has_the_journal(tmp_path: Path) -> None:
    """The second run at the same time notes and finds nothing, so that it cannot touch the first one's uploads."""
    first, second = SyncJournal(tmp_path, "a", "b"), SyncJournal(tmp_path, "a", "b")
    assert first.begin(UPLOAD)
    assert not second.begin(UPLOAD)
    assert second.find(UPLOAD.key) is None
    assert second.abandoned() == []
    first.close()
    second.close()


def test_nothing_is_made_before_there_is_something_to_note(tmp_path: Path) -> None:
    """Looking leaves no trace; the file, once there is one, is for its owner's eyes alone."""
    folder = tmp_path / "state" / "keepstep"
    journal = SyncJournal(folder, "a", "b")
    assert journal.find("key") is None
    assert journal.abandoned() == []
    journal.end("key")
    assert not folder.exists()
    journal.begin(UPLOAD)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "objects.db").stat().st_mode & 0o777 == 0o600
    journal.close()


@pytest.mark.parametrize("trouble", ["damaged", "link", "shared", "none"])
def test_without_a_usable_file_there_is_no_journal_and_no_error(tmp_path: Path, trouble: str) -> None:
    """A damaged file, a link in its place, a folder that others may write to: nothing is noted, or touched."""
    folder: Path | None = tmp_path / "state"
    assert folder is not None
    folder.mkdir(mode=0o700)
    if trouble == "damaged":
        (folder / "objects.db").write_bytes(b"no database" * 1000)
    elif trouble == "link":
        (tmp_path / "victim").write_bytes(b"")
        os.symlink(tmp_path / "victim", folder / "objects.db")
    elif trouble == "shared":
        folder.chmod(0o777)
    journal = SyncJournal(None if trouble == "none" else folder, "a", "b")
    assert not journal.begin(UPLOAD)
    assert journal.find(UPLOAD.key) is None
    journal.close()
    if trouble == "link":
        assert (tmp_path / "victim").read_bytes() == b""


OLD, OTHER = "fe00-1f-5-17b6a0-17b6a1", "fe00-1f-5-17b6a0-17b6a2"
"""States of a file (device, inode, size, and times in nanoseconds of 1970): what differs is the change time."""


def test_what_was_proved_equal_is_found_by_range(tmp_path: Path) -> None:
    """By any later run of the pair, the latest proof of each key, and by no other pair."""
    first = SyncJournal(tmp_path / "state", "a", "b")
    for key, source, target in (("a", "1", "2"), ("b", "1", "2"), ("b", "3", OLD), ("c", "1", "2"), ("d", "", "2")):
        first.note_equal(key, source, target)
    first.close()
    second, other = SyncJournal(tmp_path / "state", "a", "b"), SyncJournal(tmp_path / "state", "a", "c")
    assert second.proved("b", "d") == {"b": ("3", OLD), "c": ("1", "2")}
    assert other.proved("a", "z") == {}
    second.close()
    other.close()


def test_digests_of_files_are_anybodys(tmp_path: Path) -> None:
    """Whichever pair a file was read for; in another state, or under a tag that is not a state, nothing is
    known."""
    ours, other = SyncJournal(tmp_path, "a", "b"), SyncJournal(tmp_path, "a", "c")
    ours.note_digest(OLD, "md5")
    ours.note_digest("v1", "md5")
    ours.close()
    assert (other.digest_of(OLD), other.digest_of(OTHER), other.digest_of("v1")) == ("md5", None, None)
    other.note_digest(OTHER, "new")
    other.close()
    assert (ours.digest_of(OLD), ours.digest_of(OTHER)) == (None, "new"), "a row for each file"
    ours.close()


@pytest.mark.parametrize("which", ["modified", "changed"])
@pytest.mark.parametrize("age", [-3600, -1, 0, 1])
def test_states_that_are_too_fresh_are_not_relied_on(tmp_path: Path, age: int, which: str) -> None:
    """A file written shortly before the run began, or since then, may change once more and look the same.

    However long ago that was; and also where its modification time was put back. File systems that count in whole
    seconds take longest to tell two changes apart.
    """
    moment = (time.time_ns() // 10**9 - age) * 10**9
    state = f"fe00-1f-5-{moment:x}-17b6a1" if which == "modified" else f"fe00-1f-5-17b6a1-{moment:x}"
    for _ in range(2):
        journal = SyncJournal(tmp_path, "a", "b")
        assert (journal.proved("", "z"), journal.digest_of(state)) == ({}, None)
        journal.note_equal("key", "1", state)
        journal.note_equal("yek", state, "1")
        journal.note_digest(state, "md5")
        journal.close()


def test_what_the_run_itself_wrote_is_relied_on(tmp_path: Path) -> None:
    """It has the time of its source, and a change time of this moment."""
    journal = SyncJournal(tmp_path, "a", "b")
    journal.note_equal("key", "1", f"fe00-1f-5-17b6a1-{time.time_ns():x}", is_ours=True)
    assert list(journal.proved("", "z")) == []
    journal.close()
    assert list(journal.proved("", "z")) == ["key"]
    journal.close()


def test_many_facts_are_on_disk_before_the_end(tmp_path: Path) -> None:
    """A run that is killed loses a few hundred of them at most."""
    ours = SyncJournal(tmp_path, "a", "b")
    for n in range(1200):
        ours.note_equal(f"{n:04}", "1", "2")
    with sqlite3.connect(tmp_path / "objects.db") as database:
        assert database.execute("select count(*) from equal").fetchone() == (1000,)
    database.close()
    ours.close()


def test_parts_that_could_not_be_removed_stay_noted(tmp_path: Path) -> None:
    """An upload that is given up and still there is found by later runs until it is gone, next to a newer one."""
    first = SyncJournal(tmp_path, "a", "b")
    first.begin(UPLOAD)
    first.leave(UPLOAD.key, UPLOAD.token)
    first.begin(UPLOAD._replace(token="newer"))
    assert first.find(UPLOAD.key) == UPLOAD._replace(token="newer")
    first.gone("newer")
    first.close()
    second = SyncJournal(tmp_path, "a", "b")
    assert [begun.token for begun in second.abandoned()] == [UPLOAD.token]
    second.gone(UPLOAD.token)
    assert second.abandoned() == []
    second.close()


def test_old_facts_are_removed(tmp_path: Path) -> None:
    """What was found out more than a year ago goes; what is younger, or was noted before times were kept, stays."""
    journal = SyncJournal(tmp_path, "a", "b")
    for key in ("old", "young", "of an earlier version"):
        journal.note_equal(key, "1", "2")
    journal.note_digest(OLD, "md5")
    journal.close()
    with sqlite3.connect(tmp_path / "objects.db") as database:
        database.execute("update equal set noted = ? where key = 'old'", (time.time() - 366 * 86400,))
        database.execute("update equal set noted = 0 where key = 'of an earlier version'")
        database.execute("update digests set noted = 1")
        database.execute("pragma user_version = 0")
    database.close()
    journal = SyncJournal(tmp_path, "a", "b")
    journal.note_equal("new", "1", "2")
    journal.close()
    assert sorted(journal.proved("", "~")) == ["new", "of an earlier version", "young"]
    assert journal.digest_of(OLD) is None
    journal.close()


def test_a_journal_of_an_earlier_version_is_used(tmp_path: Path) -> None:
    """Tables that lack a column get it, and keep what they hold."""
    tmp_path.chmod(0o700)
    SyncJournal(tmp_path, "a", "b").close()
    with sqlite3.connect(tmp_path / "objects.db") as database:
        database.execute(
            "create table equal (pair text not null, key text not null, source text not null, target text not null,"
            " primary key (pair, key)) without rowid"
        )
        database.execute("insert into equal values (?, 'key', '1', '2')", (SyncJournal(None, "a", "b")._pair,))
    database.close()
    journal = SyncJournal(tmp_path, "a", "b")
    assert journal.proved("", "~") == {"key": ("1", "2")}
    journal.note_equal("other", "1", "2")
    journal.close()
    assert len(journal.proved("", "~")) == 2
    journal.close()


def test_a_locked_file_holds_nobody_up(tmp_path: Path) -> None:
    """While another run writes to the same file nothing is noted and nothing waits; facts are written later."""
    journal = SyncJournal(tmp_path, "a", "b")
    journal.begin(UPLOAD)
    other = sqlite3.connect(tmp_path / "objects.db", isolation_level=None)
    other.execute("begin immediate")
    start = time.monotonic()
    assert not journal.begin(UPLOAD._replace(key="other"))
    assert journal.find(UPLOAD.key) == UPLOAD
    for number in range(1100):
        journal.note_equal(f"{number:04}", "1", "2")
    assert time.monotonic() - start < 2
    other.execute("rollback")
    other.close()
    journal.close()
    assert len(journal.proved("", "~")) == 1100
    journal.close()

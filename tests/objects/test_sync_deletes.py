"""Deletes: the matrix of faults (a target of 3,000 keys, deleting on), and what is in their scope."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from keepstep.errors import Denied, Error, ExitCode, Transient
from keepstep.objects.filters import Filters, Rule
from keepstep.objects.guard import Cap
from keepstep.runs.report import Report
from keepstep.stores.address import Address
from keepstep.testing.stores import MemoryStore
from tests.objects.worlds import (
    FaultyStore,
    contents,
    local_sync,
    memory,
    options,
    raising,
    synced,
)
from tests.unprivileged import run_unprivileged

OLD = {f"k{n:04}": b"old" for n in range(3000)}


def outcome(report: Report) -> tuple[int, ExitCode]:
    return report.counts["delete"], report.exit_code


def test_matrix_a_page_of_the_listing_fails() -> None:
    """Page 2 of either listing cannot be obtained: what is certain is copied, nothing is deleted, exit 1."""
    for error in (Transient("500"), Denied("403"), Error("what")):
        source = FaultyStore(memory({f"k{n:04}": b"new!" for n in range(0, 3000, 2)}, page_size=500))
        source.list_error, source.list_error_after = error, 1
        target = memory(OLD)
        report, _ = synced(source, target, options(delete=True))
        assert outcome(report) == (0, ExitCode.FAILED)
        assert set(OLD) <= set(target.objects)
        assert report.counts["copy"] == 500
        kept = [failure for failure in report.failures if failure.action == "guard"]
        assert kept[0].error == "499 deletes withheld: the listing of the source is not complete"


def test_matrix_a_page_of_the_target_fails() -> None:
    """A target whose listing breaks gets what is certainly missing or different, and nothing is deleted, exit 1."""
    target = FaultyStore(memory(OLD, page_size=1000))
    target.list_error, target.list_error_after = Transient("cut"), 1
    source = memory({f"k{n:04}": b"new!" for n in range(0, 4000, 10)})
    report, _ = synced(source, target, options(delete=True))
    assert outcome(report) == (0, ExitCode.FAILED)
    changed = [key for key, stored in target.objects.items() if stored.data == b"new!"]
    assert changed == [f"k{n:04}" for n in range(0, 1000, 10)]
    assert [failure.source for failure in report.failures if failure.action == "list"] == ["/memory"]


def test_matrix_a_directory_cannot_be_read(tmp_path: Path) -> None:
    """A folder of the source that cannot be read: the rest is copied, nothing is deleted, exit 1."""
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source / "open", source / "shut", target / "shut"):
        folder.mkdir(parents=True)
    (source / "open" / "new").write_bytes(b"1")
    for n in range(300):
        (target / "shut" / f"k{n}").write_bytes(b"old")
        (target / f"k{n}").write_bytes(b"old")
    (source / "shut").chmod(0)
    command = [
        sys.executable,
        "-m",
        "keepstep",
        "sync",
        str(source),
        str(target),
        "--delete",
        "--max-delete",
        "100%",
    ]
    result = run_unprivileged(command)
    (source / "shut").chmod(0o700)
    assert result.returncode == ExitCode.FAILED, result
    assert f"cannot read {source}/shut/: Permission denied" in result.stderr
    assert "deletes withheld" in result.stderr
    assert (target / "open" / "new").exists()
    assert len(list(target.rglob("k*"))) == 600


def test_matrix_the_source_is_empty() -> None:
    """An empty source deletes nothing and is refused, exit 4; with --allow-empty-source everything goes."""
    target = memory(OLD)
    report, watcher = synced(MemoryStore(), target, options(delete=True))
    assert outcome(report) == (0, ExitCode.REFUSED)
    assert contents(target) == OLD
    assert watcher.failures[0].hint is not None
    assert "--allow-empty-source" in watcher.failures[0].hint
    report, _ = synced(MemoryStore(), target, options(delete=True, allow_empty_source=True))
    assert outcome(report) == (3000, ExitCode.DONE)
    assert contents(target) == {}


def test_matrix_more_deletes_than_the_cap() -> None:
    """One delete more than the cap: none at all, exit 4, and the copies are done; exactly the cap goes through."""
    for keep, cap, deleted in ((1500, None, 1500), (1499, None, 0), (2990, "10", 10), (2990, "9", 0)):
        target = memory(OLD)
        source = memory({key: OLD[key] for key in list(OLD)[:keep]} | {"new": b"1"})
        report, _ = synced(source, target, options(delete=True, cap=Cap.parse(cap) if cap else Cap()))
        assert outcome(report) == (deleted, ExitCode.DONE if deleted else ExitCode.REFUSED)
        assert len(target.objects) == 3001 - deleted
        assert "new" in target.objects


def test_a_healthy_run_deletes() -> None:
    """With both listings whole and the cap kept, what is only at the target goes."""
    target = memory(OLD)
    report, _ = synced(memory({key: OLD[key] for key in list(OLD)[:2000]}), target, options(delete=True))
    assert outcome(report) == (1000, ExitCode.DONE)
    assert len(target.objects) == 2000


def test_the_cap_counts_what_the_filters_leave_in_scope() -> None:
    """Excluded keys are neither deleted nor counted: 2 of 4 in scope is 50 %, whatever else the target holds."""
    target = memory({f"in{n}": b"" for n in range(4)} | {f"out{n}": b"" for n in range(96)})
    source = memory({"in0": b"", "in1": b"", "out-new": b""})
    filters = Filters([Rule(False, "out*")])
    report, _ = synced(source, target, options(delete=True, filters=filters, cap=Cap.parse("49%")))
    assert outcome(report) == (0, ExitCode.REFUSED)
    report, _ = synced(source, target, options(delete=True, filters=filters))
    assert outcome(report) == (2, ExitCode.DONE)
    assert len(target.objects) == 98
    assert "out-new" not in target.objects


def test_a_source_that_the_filters_empty_is_an_empty_source() -> None:
    """What counts is what the filters leave: a pattern with a slip in it deletes nothing."""
    filters = Filters([Rule(False, "*"), Rule(True, "logs/*")])
    target = memory({"logs/a": b"1"})
    report, _ = synced(memory({"other": b"1"}), target, options(delete=True, filters=filters))
    assert outcome(report) == (0, ExitCode.REFUSED)
    assert "logs/a" in target.objects


def test_a_hole_that_the_filters_exclude_withholds_nothing() -> None:
    """A folder that cannot be read and is excluded is nobody's concern: deletes go on, exit 0."""
    hole = ("lost+found/", Error("cannot read lost+found", hint="exclude it"))
    source = FaultyStore(memory({"a": b"1", "b": b"1"}))
    source.unreadable_prefixes.append(hole)
    target = memory({"a": b"1", "b": b"1", "z": b"1"})
    report, _ = synced(source, target, options(delete=True))
    assert outcome(report) == (0, ExitCode.FAILED)
    filters = Filters([Rule(False, "lost+found/*")])
    report, _ = synced(source, target, options(delete=True, filters=filters))
    assert outcome(report) == (1, ExitCode.DONE)


def test_what_is_unknown_at_the_target_is_left_alone() -> None:
    """Where the target could not be listed nothing is written: the object may be there, and newer."""
    target = FaultyStore(MemoryStore())
    target.unreadable_prefixes.append(("shut/", Error("cannot read shut")))
    report, watcher = synced(memory({"shut/a": b"1", "open/a": b"1"}), target, options(explain=True))
    assert watcher.words() == ["copy /memory/open/a", "skip /memory/shut/a"]
    assert report.exit_code is ExitCode.FAILED


def test_what_a_dangling_link_may_have_held_is_not_deleted(tmp_path: Path) -> None:
    """A link whose disk is not mounted leads nowhere today; what it led to yesterday stays at the target."""
    source, target, disk = tmp_path / "source", tmp_path / "target", tmp_path / "disk"
    for folder in (source, disk):
        folder.mkdir()
    for n in range(5):
        (source / f"f{n}").write_bytes(b"1")
        (disk / f"g{n}").write_bytes(b"1")
    (source / "data").symlink_to(disk)
    assert local_sync(source, target)[0].counts["copy"] == 10
    (target / "data-gone").write_bytes(b"1")
    (target / "data.gone").write_bytes(b"1")
    disk.rename(tmp_path / "away")
    report, watcher = local_sync(source, target, options(delete=True))
    assert [a.target for a in watcher.actions if a.action == "delete"] == [
        f"{target}/data-gone",
        f"{target}/data.gone",
    ]
    assert report.exit_code is ExitCode.SKIPPED
    assert len(list((target / "data").iterdir())) == 5


def test_a_source_inside_the_target_is_refused_before_anything_happens() -> None:
    """Deleting what the source has not would delete the source itself; leaving it out by a filter makes it safe."""
    everything = MemoryStore(address=Address("s3", bucket="b"))
    everything.add("site/dist/a", b"1", time_us=1)
    everything.add("site/old", b"1", time_us=1)
    inner = MemoryStore(address=Address("s3", bucket="b", prefix="site/dist/"))
    inner.add("a", b"1", time_us=1)
    outer = MemoryStore(address=Address("s3", bucket="b", prefix="site/"))
    outer.add("dist/a", b"1", time_us=1)
    outer.add("old", b"1", time_us=1)
    report, _ = synced(inner, outer, options(delete=True, cap=Cap.parse("100%")))
    assert report.exit_code is ExitCode.REFUSED
    assert sorted(outer.objects) == ["dist/a", "old"]
    filters = Filters([Rule(False, "dist/*")])
    report, _ = synced(inner, outer, options(delete=True, filters=filters, cap=Cap.parse("100%")))
    assert report.exit_code is ExitCode.DONE
    assert sorted(outer.objects) == ["a", "dist/a"]


def test_deletes_that_fail_are_told_one_by_one() -> None:
    """What the store could not delete is a failure each, the rest is done, exit 1; so with a whole batch."""

    class Stubborn(MemoryStore):
        async def delete(self, keys: Any) -> dict[str, Error]:
            await super().delete([key for key in keys if key != "b"])
            return {"b": Denied("b is kept")} if "b" in keys else {}

    target = Stubborn()
    for key in "abcd":
        target.add(key, b"1", time_us=0)
    report, _ = synced(memory({"d": b"1"}), target, options(delete=True, cap=Cap.parse("3")))
    assert outcome(report) == (2, ExitCode.FAILED)
    assert [(f.action, f.target, f.error) for f in report.failures] == [("delete", "/memory/b", "b is kept")]

    faulty = FaultyStore(memory({"a": b"1", "d": b"1"}))
    faulty.before["delete"] = raising(Transient("cut"))
    report, _ = synced(memory({"d": b"1"}), faulty, options(delete=True))
    assert outcome(report) == (0, ExitCode.FAILED)
    assert [(f.action, f.target, f.error) for f in report.failures] == [("delete", "/memory/a", "cut")]


def test_deletes_go_in_batches_and_after_every_copy() -> None:
    """The target is asked in batches of a thousand, once everything has arrived."""
    target = FaultyStore(memory(OLD))
    batches: list[int] = []
    seen: list[int] = []

    async def count(keys: list[str]) -> None:
        batches.append(len(keys))
        seen.append("new" in target.objects)

    target.before["delete"] = count
    synced(memory({"k0000": b"old", "new": b"1"}), target, options(delete=True, cap=Cap.parse("100%")))
    assert batches == [1000, 1000, 999]
    assert all(seen)


def test_what_may_be_a_copy_of_an_unreadable_name_is_kept() -> None:
    """A name at the source that is not UTF-8 may be at the target in a form that is: nothing like it is deleted."""
    source = FaultyStore(memory({"a": b"1"}))
    source.unrepresentable_names.append(("caf\\xe9.txt", "its name is not UTF-8"))
    target = memory({"a": b"1", "café.txt": b"2", "caf\ufffd.txt": b"2", "caf%E9.txt": b"2", "cafes.txt": b"3"})
    report, watcher = synced(source, target, options(delete=True, cap=Cap.parse("100%")))
    assert (report.counts["delete"], report.exit_code) == (1, ExitCode.SKIPPED)
    assert set(contents(target)) == {"a", "café.txt", "caf\ufffd.txt", "caf%E9.txt"}
    assert sum("kept /memory/caf" in warning for warning in watcher.warnings) == 3


def test_a_name_at_the_target_that_cannot_be_deleted_is_said() -> None:
    """With --delete a name at the target that is not a key is named, and the run is not done; without it none
    is."""
    for delete, code in ((True, ExitCode.SKIPPED), (False, ExitCode.DONE)):
        target = FaultyStore(memory({"a": b"1"}))
        target.unrepresentable_names.append(("bad\\xff", "its name is not UTF-8"))
        report, watcher = synced(memory({"a": b"1"}), target, options(delete=delete))
        assert report.exit_code == code
        assert [w for w in watcher.warnings if "bad" in w] == (
            ["skipped /memory/bad\\xff: its name is not UTF-8, so it cannot be deleted"] if delete else []
        )

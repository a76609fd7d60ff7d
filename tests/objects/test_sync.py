"""Whole runs on memory and on folders: what moves, what fails, and how it is reported."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest

from keepstep.errors import ConfigError, Conflict, Denied, Error, ExitCode, NotFound, Transient, Unsupported
from keepstep.objects.filters import Filters, Rule
from keepstep.objects.guard import Cap
from keepstep.objects.plan import Direction, Rules
from keepstep.stores.address import Address
from keepstep.stores.interface import Entry, Properties
from keepstep.testing.stores import MemoryStore
from tests.objects.worlds import (
    FaultyStore,
    FixedListing,
    contents,
    local_sync,
    memory,
    options,
    page_of,
    raising,
    synced,
)


def test_what_is_missing_or_differs_moves_and_the_second_run_moves_nothing() -> None:
    """After a run the target has the source's objects; the next run has nothing to do."""
    source = memory({"a": b"1", "b/c": b"22", "d": b""}, time_us=5)
    target = memory({"b/c": b"x", "z": b"kept"}, time_us=9)
    report, watcher = synced(source, target)
    assert contents(target) == {"a": b"1", "b/c": b"22", "d": b"", "z": b"kept"}
    assert watcher.words() == ["copy /memory/a", "copy /memory/b/c", "copy /memory/d"]
    assert (report.exit_code, report.bytes, report.counts["copy"]) == (ExitCode.DONE, 3, 3)
    again, watcher = synced(source, target)
    assert (watcher.actions, again.counts["unchanged"], again.bytes) == ([], 3, 0)


def test_the_observer_and_the_report_tell_the_same() -> None:
    """What was planned arrives, byte for byte; actions name addresses, sizes and the rule that fired."""
    source, target = memory({"a": b"12", "b": b"345"}, time_us=5), memory({"b": b"x"})
    report, watcher = synced(source, target, options(keep_actions=True))
    assert (watcher.planned_objects, watcher.planned_bytes, watcher.bytes, report.bytes) == (2, 5, 5, 5)
    assert {(a.source, a.target, a.size, a.reason) for a in watcher.actions} == {
        ("/memory/a", "/memory/a", 2, "only at the source"),
        ("/memory/b", "/memory/b", 3, "size differs"),
    }
    assert report.actions is not None
    assert sorted(report.actions) == sorted(watcher.actions)
    assert (report.counts["source_keys"], report.counts["target_keys"]) == (2, 1)
    assert report.finished is not None
    assert report.started <= report.finished


def test_dryrun_tells_the_same_and_changes_nothing(tmp_path: Path) -> None:
    """With dryrun the same actions are told, and neither side changes; a missing target folder stays missing."""
    source, target = memory({"a": b"1", "b": b"2"}), memory({"b": b"xx", "z": b"gone"})
    asked = options(delete=True, cap=Cap.parse("100%"))
    before = contents(target)
    _, dry = synced(source, target, options(delete=True, cap=Cap.parse("100%"), dryrun=True))
    assert contents(target) == before
    _, wet = synced(source, target, asked)
    assert dry.words() == wet.words() == ["copy /memory/a", "copy /memory/b", "delete /memory/z"]
    assert dry.bytes == 0
    folder = tmp_path / "no" / "such"
    report, _ = local_sync(tmp_path, folder, options(dryrun=True))
    assert report.exit_code is ExitCode.DONE
    assert not folder.parent.exists()


def test_explain_tells_the_rule_for_every_key() -> None:
    """With explain the keys that stay as they are come too, each with its reason, and count as nothing."""
    source = memory({"new": b"1", "same": b"2"})
    target = memory({"same": b"2", "kept": b"3"})
    report, watcher = synced(source, target, options(explain=True))
    assert {(a.source, a.target, a.reason) for a in watcher.actions if a.action == "skip"} == {
        (None, "/memory/kept", "only at the target, and deleting is off"),
        ("/memory/same", "/memory/same", "same size, not newer"),
    }
    assert report.exit_code is ExitCode.DONE
    assert report.counts["skip"] == 0


def test_a_download_warns_once_of_what_it_leaves_alone() -> None:
    """Objects that are newer at the source and of the same size are counted in one warning; exit 0."""
    source = memory({"a": b"1", "b": b"1", "c": b"1"}, time_us=9)
    target = memory({"a": b"2", "b": b"2", "c": b"22"}, time_us=5)
    report, watcher = synced(source, target, options(direction=Direction.DOWNLOAD))
    assert watcher.words() == ["download /memory/c"]
    assert len(watcher.warnings) == 1
    assert watcher.warnings[0].startswith("2 objects are newer at the source")
    assert report.exit_code is ExitCode.DONE


def test_folders_of_this_machine(tmp_path: Path) -> None:
    """From folder to folder: contents and times arrive, a second run has nothing to do, deletes work."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "f").write_bytes(b"contents")
    (source / "g").write_bytes(b"")
    assert local_sync(source, target)[0].counts["copy"] == 2
    assert (target / "deep" / "er" / "f").read_bytes() == b"contents"
    assert (target / "g").stat().st_mtime_ns // 1000 == (source / "g").stat().st_mtime_ns // 1000
    assert local_sync(source, target)[1].actions == []
    (source / "g").unlink()
    _, watcher = local_sync(source, target, options(delete=True))
    assert watcher.words() == [f"delete {target}/g"]
    assert not (target / "g").exists()


# faults


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Denied("no", hint="ask"), ExitCode.FAILED),
        (Transient("cut"), ExitCode.FAILED),
        (Conflict("changes"), ExitCode.FAILED),
        (NotFound("no such bucket"), ExitCode.FAILED),
        (Unsupported("no such name here"), ExitCode.SKIPPED),
        (ZeroDivisionError("ours"), ExitCode.FAILED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_objects_trouble_does_not_stop_the_others(error: Exception, code: ExitCode) -> None:
    """An object that fails is reported with its hint and leads to exit 1, one that cannot be held to exit 2."""
    target = FaultyStore(MemoryStore())
    target.before["put"] = raising(error, "bad")
    report, watcher = synced(memory({"a": b"1", "bad": b"1", "z": b"1"}), target)
    assert report.exit_code is code
    assert contents(target) == {"a": b"1", "z": b"1"}
    if code is ExitCode.FAILED:
        assert [(f.target, f.hint) for f in watcher.failures] == [
            ("/memory/bad", getattr(error, "hint", "please report this"))
        ]
    else:
        assert watcher.warnings == ["skipped /memory/bad: no such name here"]
        assert report.counts["skip"] == 1


def test_files_that_vanish_are_skipped_and_objects_that_vanish_fail() -> None:
    """A file that is gone before it is read is a warning; a cloud's object may be hidden from us."""
    local = FaultyStore(memory({"a": b"1"}))
    local.before["open"] = raising(NotFound("gone"))
    report, watcher = synced(local, MemoryStore())
    assert report.exit_code is ExitCode.SKIPPED
    assert watcher.warnings == ["skipped /memory/a: vanished before it could be read"]
    store = MemoryStore(address=Address("oci", bucket="b", namespace="n"))
    store.add("a", b"1")
    cloud = FaultyStore(store)
    cloud.before["open"] = raising(NotFound("gone, or forbidden"))
    report, watcher = synced(cloud, MemoryStore())
    assert report.exit_code is ExitCode.FAILED
    assert [f.source for f in watcher.failures] == ["oci://b@n/a"]


def test_a_target_that_is_missing_is_no_vanished_file() -> None:
    """That the target's bucket is gone is not mistaken for a file that vanished."""
    target = FaultyStore(MemoryStore())
    target.before["put"] = raising(NotFound("no such bucket"))
    report, _ = synced(memory({"a": b"1"}), target)
    assert report.exit_code is ExitCode.FAILED


def test_objects_that_cannot_be_read_are_skipped_with_their_reason() -> None:
    """What the listing calls unfit is a warning and exit 2; the rest is copied."""
    source = FaultyStore(memory({}))
    source.list = lambda *_: FixedListing(  # type: ignore[method-assign]
        [page_of([Entry("pipe", -1, 0, unfit="is a named pipe"), Entry("old", 7, 0, unfit="is archived")])]
    )
    report, watcher = synced(source, MemoryStore())
    assert report.exit_code is ExitCode.SKIPPED
    assert sorted(watcher.warnings) == ["skipped /memory/old: is archived", "skipped /memory/pipe: is a named pipe"]
    assert (report.counts["skip"], watcher.planned_bytes) == (2, 7)


def test_names_that_are_no_keys_are_skipped_by_name_unless_excluded() -> None:
    """A name that is not UTF-8 is a warning each and exit 2; what is out of scope is skipped in silence."""
    source = FaultyStore(memory({"a": b"1"}))
    source.unrepresentable_names += [
        ("bad\\xff", "its name is not UTF-8"),
        ("tmp/bad\\xfe", "its name is not UTF-8"),
    ]
    report, watcher = synced(source, MemoryStore(), options(filters=Filters([Rule(False, "tmp/*")])))
    assert report.exit_code is ExitCode.SKIPPED
    assert watcher.warnings == ["skipped /memory/bad\\xff: its name is not UTF-8"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Denied("403"), ExitCode.MISCONFIGURED),
        (NotFound("no such folder"), ExitCode.MISCONFIGURED),
        (Transient("500"), ExitCode.FAILED),
    ],
)
@pytest.mark.parametrize("side", [0, 1])
def test_a_side_that_cannot_be_listed_at_all(side: int, error: Error, code: ExitCode) -> None:
    """Nothing is copied or deleted; where a setting is to blame, the exit code says so."""
    sides = [FaultyStore(memory({"a": b"1"})), FaultyStore(memory({"z": b"1"}))]
    sides[side].list_error = error
    report, watcher = synced(sides[0], sides[1], options(delete=True))
    assert report.exit_code is code
    assert watcher.actions == []
    assert [f.error for f in watcher.failures] == [error.message]


def test_hopeless_refusals_stop_early() -> None:
    """When the first 32 objects are all refused, the rest is not tried: settings are to blame, exit 5."""
    tried: list[str] = []
    target = FaultyStore(MemoryStore())

    async def deny(key: str, *_: object) -> None:
        tried.append(key)
        raise Denied("no", hint="add s3:PutObject")

    target.before["put"] = deny
    report, watcher = synced(memory({f"k{n:04}": b"1" for n in range(2000)}), target, options(delete=True))
    assert 32 <= len(tried) <= 64
    assert report.exit_code is ExitCode.MISCONFIGURED
    assert watcher.failures[-1].error == "gave up: 32 objects in a row were refused"
    assert watcher.failures[-1].hint == "add s3:PutObject"


def test_credentials_that_expire_for_good_stop_the_run() -> None:
    """After 100 successes, 32 refusals of the credentials in a row end the run as they would at its start."""
    tried: list[str] = []
    target = FaultyStore(MemoryStore())

    async def expire(key: str, *_: object) -> None:
        tried.append(key)
        if len(tried) > 100:
            raise ConfigError("the token has expired", hint="sign in again")

    target.before["put"] = expire
    report, watcher = synced(memory({f"k{n:04}": b"1" for n in range(2000)}), target)
    assert 132 <= len(tried) <= 164
    assert report.counts["copy"] == 100
    assert watcher.failures[-1].error == "gave up: 32 objects in a row were refused"
    assert watcher.failures[-1].hint == "sign in again"


def test_refusals_among_successes_stop_nothing() -> None:
    """As long as something succeeds, every object is tried, however many in a row may not be written."""
    target = FaultyStore(MemoryStore())
    target.before["put"] = raising(Denied("no"), *(f"k{n:04}" for n in range(1, 500)))
    report, _ = synced(memory({f"k{n:04}": b"1" for n in range(600)}), target)
    assert (report.counts["copy"], report.counts["failed"]) == (101, 499)
    assert report.exit_code is ExitCode.FAILED


def test_a_failing_sweep_is_a_warning() -> None:
    """What an interrupted run left behind and cannot be removed does not make this run fail."""
    target = FaultyStore(MemoryStore())
    target.before["tidy"] = raising(Denied("may not abort uploads"))
    report, watcher = synced(memory({"a": b"1"}), target)
    assert report.exit_code is ExitCode.DONE
    assert "may not abort uploads" in watcher.warnings[0]


def test_the_report_is_one_json_document() -> None:
    """Whatever happened, the report reads as JSON, with actions, failures and counts that agree."""
    target = FaultyStore(memory({"z": b"1"}))
    target.before["put"] = raising(Denied("no", hint="ask"), "b")
    source = memory({"a": b"1", "b": b"1"})
    report, _ = synced(source, target, options(delete=True, keep_actions=True, cap=Cap.parse("1")))
    report.write_json(out := StringIO())
    document = json.loads(out.getvalue())
    assert document["exit_code"] == 1
    assert document["outcome"] == "failed"
    assert [(a["action"], a["target"]) for a in document["actions"]] == [
        ("copy", "/memory/a"),
        ("delete", "/memory/z"),
    ]
    assert [(f["action"], f["error"], f["hint"]) for f in document["failures"]] == [("copy", "no", "ask")]
    assert (document["counts"]["copy"], document["counts"]["delete"], document["counts"]["failed"]) == (1, 1, 1)


def test_rules_without_overwriting_leave_what_is_there() -> None:
    """With no_overwrite only what is missing is copied."""
    source, target = memory({"a": b"new", "b": b"new"}, time_us=9), memory({"a": b"o"})
    synced(source, target, options(rules=Rules(Direction.COPY, no_overwrite=True)))
    assert contents(target) == {"a": b"o", "b": b"new"}


def test_many_jobs_share_little_memory() -> None:
    """More objects in flight than the budget has room for wait for each other, and all arrive."""
    source = memory({f"k{n}": bytes(1000) for n in range(100)})
    target = MemoryStore()
    report, _ = synced(source, target, options(jobs=32, memory=1500))
    assert report.counts["copy"] == 100
    assert contents(target) == contents(source)


def test_properties_reach_the_target() -> None:
    """From cloud to cloud an object keeps its type and its metadata."""
    source = MemoryStore(address=Address("s3", bucket="b"))
    source.add("a", b"1", properties=Properties(content_type="x/y", metadata=(("k", "v"),)))
    target = MemoryStore(address=Address("s3", bucket="c"))
    synced(source, target)
    assert target.objects["a"].properties == source.objects["a"].properties

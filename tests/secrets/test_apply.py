"""One run: exit codes, notices, outages."""

from __future__ import annotations

import asyncio
import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keepstep.errors import ConfigError, Denied, NotFound, Transient
from keepstep.secrets.ages import Ages, in_words
from keepstep.secrets.memory_fs import is_in_memory
from tests.secrets.worlds import World


@pytest.fixture
def world(root: Path) -> World:
    world = World(root)
    for name in ("a", "b", "c"):
        world.vault.put(name, f"{name}1")
    return world


def test_exit_codes(world: World) -> None:
    """3 when something changed, 0 when nothing did, 1 when something failed, though the rest was done."""
    lines = [world.line("a"), world.line("b")]
    assert world.run(*lines) == 3
    assert world.lines.updated == ["a", "b"]
    assert world.run(*lines) == 0
    assert world.lines.updated == []
    world.vault.put("a", "a2")
    world.vault.errors["b"] = NotFound("no b")
    assert world.run(*lines) == 1
    assert world.lines.updated == ["a"]
    assert (world.root / "a").read_bytes() == b"a2"
    assert (world.root / "b").read_bytes() == b"b1"


def test_an_empty_map_is_done(world: World) -> None:
    """Nothing to do is not a failure."""
    assert world.run() == 0


def test_a_bad_line_fails_the_run_and_stops_nobody(world: World) -> None:
    """The lines around it are delivered, the exit code is 1, and the line is named."""
    assert world.run("nonsense", world.line("a")) == 1
    assert world.lines.updated == ["a"]
    assert [failure.source for failure in world.lines.failures] == ["map line 1"]


def test_an_action_names_path_and_origin(world: World) -> None:
    """What is reported is what the log line needs: the path and the address as it was written."""
    world.vault.put("json", '{"password": "x"}')
    world.run(f"aws-sm:json#password,{world.root}/p")
    [action] = world.lines.actions
    assert (action.action, action.source, action.target) == ("update", "aws-sm:json#password", f"{world.root}/p")
    assert (world.root / "p").read_bytes() == b"x"


def test_one_notice_for_a_container_with_many_files(world: World) -> None:
    """However many of its files changed, a container is notified once; nothing changed, nobody notified."""
    lines = [world.line(name, "0600", "web", "HUP") for name in ("a", "b", "c")]
    assert world.run(*lines) == 3
    assert world.told == ["web SIGHUP"]
    assert world.run(*lines) == 0
    assert world.told == []
    world.vault.put("b", "b2")
    world.run(*lines)
    assert world.told == ["web SIGHUP"]
    assert world.markers() == []


def test_a_restart_makes_signals_needless(world: World) -> None:
    """A container that is restarted is not signalled as well, and no marker stays."""
    world.run(
        world.line("a", "", "web", "HUP"), world.line("b", "", "web", "restart"), world.line("c", "", "mail", "1")
    )
    assert sorted(world.told) == ["mail SIGHUP", "web restart"]
    assert world.markers() == []


def test_two_signals_are_two_notices(world: World) -> None:
    """Different signals to one container are both delivered."""
    world.run(world.line("a", "", "web", "HUP"), world.line("b", "", "web", "USR1"))
    assert world.told == ["web SIGHUP", "web SIGUSR1"]


def test_a_missing_container_is_a_warning_and_is_told_later(world: World) -> None:
    """The file is there, the exit code as usual, and once the container runs it is notified, without a change."""
    line = world.line("a", "", "late", "HUP")
    assert world.run(line) == 3
    assert [warning for warning in world.lines.warnings if "container late: SIGHUP is still due" in warning]
    assert world.run(line) == 0
    assert world.told == []
    world.containers.known.add("late")
    assert world.run(line) == 0
    assert world.told == ["late SIGHUP"]
    assert world.run(line) == 0
    assert world.told == []


def test_a_name_that_was_wrong_can_be_mended(world: World) -> None:
    """The container that the map should have named hears of the change that it missed, once; no other does."""
    others = [world.line("b", "", "mail", "HUP")]
    assert world.run(world.line("a", "", "wbe", "HUP"), *others) == 3
    assert world.told == ["mail SIGHUP"]
    assert world.run(world.line("a", "", "web", "USR1"), *others) == 0
    assert world.told == ["web SIGUSR1"]
    assert world.run(world.line("a", "", "web", "USR1"), *others) == 0
    assert world.told == world.markers() == []


def test_nobody_is_owed_what_nobody_wants(world: World) -> None:
    """A file that has no container any more owes nothing; what others owe for the same container stays due."""
    world.run(world.line("a", "", "late", "HUP"), world.line("b", "", "late", "HUP"))
    assert len(world.markers()) == 2
    world.run(world.line("a"), world.line("b", "", "late", "HUP"))
    assert len(world.markers()) == 1
    world.containers.known.add("late")
    world.run(world.line("a"), world.line("b", "", "late", "HUP"))
    assert world.told == ["late SIGHUP"]
    assert world.markers() == []


def test_maps_that_share_a_folder_owe_for_themselves(world: World) -> None:
    """What another map owes for the same container is its own: a run that tells it forgets only its own files'."""
    world.run(world.line("a", "", "late", "HUP"))
    world.run(world.line("b", "", "late", "HUP"))
    world.containers.known.add("late")
    world.run(world.line("b", "", "late", "HUP"))
    assert world.told == ["late SIGHUP"]
    world.run(world.line("a", "", "late", "HUP"))
    assert world.told == ["late SIGHUP"]


def test_what_is_owed_is_told_while_the_vault_is_away(world: World) -> None:
    """A notice that is due does not wait for a vault that is down."""
    line = world.line("a", "", "late", "HUP")
    world.run(line)
    world.containers.known.add("late")
    world.vault.errors["a"] = Transient("away")
    assert world.run(line) == 1
    assert world.told == ["late SIGHUP"]
    assert world.markers() == []


def test_one_fetch_for_a_secret_with_many_fields(world: World) -> None:
    """A secret that serves several files is fetched once."""
    world.vault.put("json", '{"u": "x", "p": "y"}')
    world.run(f"aws-sm:json#u,{world.root}/u", f"aws-sm:json#p,{world.root}/p", f"aws-sm:json,{world.root}/whole")
    assert world.vault.asked == ["json"]
    assert world.lines.updated == ["p", "u", "whole"]


def test_secrets_are_fetched_at_once_within_bounds(world: World) -> None:
    """Of two hundred secrets as many are under way at a time as allowed, and not one more."""
    world.vault.pause = 0.05
    for number in range(200):
        world.vault.put(str(number), str(number))
    assert world.run(*[world.line(str(number)) for number in range(200)], jobs=50) == 3
    assert world.vault.most_under_way == 50
    assert world.vault.entered == 1


@pytest.mark.parametrize("error", [ConfigError("no credentials", hint="set them"), Denied("not you")])
def test_nobody_in_particular(world: World, error: ConfigError | Denied) -> None:
    """When we are nobody in a vault no secret of it is asked for, and each says why."""
    world.vault.errors["*"] = error
    assert world.run(world.line("a"), world.line("b")) == 1
    assert world.vault.asked == []
    assert [failure.hint for failure in world.lines.failures] == [error.hint] * 2
    assert all("failed: " + error.message in failure.error for failure in world.lines.failures)


def test_an_outage_keeps_the_file_and_tells_its_age(world: World) -> None:
    """While the vault is away the last file stays, the run fails, and the age is that of the last confirmation."""
    world.run(world.line("a"))
    world.clock.ahead = timedelta(hours=5)
    world.run(world.line("a"))
    world.vault.errors["a"] = Transient("the vault is away")
    world.clock.ahead = timedelta(hours=8)
    assert world.run(world.line("a")) == 1
    assert "stays as it was 3 h ago" in world.lines.failures[0].error
    assert (world.root / "a").read_bytes() == b"a1"


def test_max_stale_forgives_an_outage_for_a_time(world: World) -> None:
    """Younger than max_stale: a warning and exit code 2, or 3 when something else changed. Older: failure."""
    world.run(world.line("a"))
    world.vault.errors["a"] = Transient("the vault is away")
    world.clock.ahead = timedelta(hours=3)
    patience = timedelta(hours=4)
    assert world.run(world.line("a"), max_stale=patience) == 2
    assert "3 h ago" in world.lines.warnings[0]
    assert world.report.counts["stale"] == 1
    assert world.run(world.line("a"), world.line("b"), max_stale=patience) == 3
    world.clock.ahead = timedelta(hours=5)
    assert world.run(world.line("a"), max_stale=patience) == 1


@pytest.mark.parametrize("error", [Denied("forbidden"), NotFound("gone"), ConfigError("expired key")])
def test_forbidden_is_never_an_outage(world: World, error: Denied | NotFound | ConfigError) -> None:
    """What is not allowed, or not there, fails at once whatever max_stale says."""
    world.run(world.line("a"))
    world.vault.errors["a"] = error
    assert world.run(world.line("a"), max_stale=timedelta(days=365)) == 1


def test_a_fault_of_ours_is_a_failure_of_one_file(world: World) -> None:
    """An exception that nobody foresaw fails its file by name, quotes nothing, and the run ends with its report."""
    world.vault.put("a", b"1")
    world.vault.put("b", b"2")
    world.vault.errors["a"] = ZeroDivisionError("S3cr3t")  # type: ignore[assignment]
    assert world.run(world.line("a"), world.line("b")) == 1
    assert (world.root / "b").read_bytes() == b"2"
    [failure] = world.lines.failures
    assert failure.target == str(world.root / "a")
    assert "ZeroDivisionError in worlds.py, line" in failure.error
    assert "S3cr3t" not in f"{failure}"


def test_a_missing_file_has_no_age(world: World) -> None:
    """An outage before the first delivery is a failure: there is nothing that could stay."""
    world.vault.errors["a"] = Transient("away")
    assert world.run(world.line("a"), max_stale=timedelta(days=1)) == 1
    assert "stays" not in world.lines.failures[0].error


def test_a_set_waits_for_all_of_its_secrets(world: World) -> None:
    """When one file of a set cannot be obtained none of it is switched."""
    files = [{"name": "crt", "secret": "aws-sm:a"}, {"name": "key", "secret": "aws-sm:b"}]
    group = {"path": str(world.root / "tls"), "file": files, "notify": [{"container": "web", "signal": "HUP"}]}
    assert world.run_job(sets=[group]) == 3
    assert world.lines.updated == ["crt", "key"]
    assert world.told == ["web SIGHUP"]
    world.vault.put("a", "a2")
    world.vault.put("b", "b2")
    world.vault.errors["b"] = Transient("away")
    assert world.run_job(sets=[group]) == 1
    assert (world.root / "tls" / "crt").read_bytes() == b"a1"
    world.vault.errors.clear()
    assert world.run_job(sets=[group]) == 3
    assert (world.root / "tls" / "crt").read_bytes() == b"a2"
    assert (world.root / "tls" / "key").read_bytes() == b"b2"


def test_a_template_of_two_secrets(world: World) -> None:
    """A file of several secrets changes when any of them does; its origin names all."""
    file = {
        "path": str(world.root / "env"),
        "template": "A={{ a }}\nB={{ b }}\n",
        "secrets": {"a": "aws-sm:a", "b": "aws-sm:b"},
    }
    assert world.run_job(files=[file]) == 3
    assert (world.root / "env").read_text() == "A=a1\nB=b1\n"
    world.vault.put("b", "b2")
    assert world.run_job(files=[file]) == 3
    assert world.lines.actions[0].source == "aws-sm:a, aws-sm:b"
    world.vault.errors["b"] = NotFound("gone")
    assert world.run_job(files=[file]) == 1
    assert "fetch aws-sm:b failed" in world.lines.failures[0].error
    assert (world.root / "env").read_text() == "A=a1\nB=b2\n"


def test_a_dry_run_does_nothing(world: World) -> None:
    """What would change is said; no file, marker, notice or age comes of it."""
    assert world.run(world.line("a", "", "web", "HUP"), dryrun=True) == 3
    assert world.lines.updated == ["a"]
    assert list(world.root.iterdir()) == []
    assert world.told == []
    assert not world.ages_path.exists()


def test_files_on_a_disk_are_pointed_out(world: World) -> None:
    """A folder that is not tmpfs is named once, however many files are in it."""
    descriptor = os.open(world.root, os.O_RDONLY)
    is_on_disk = is_in_memory(descriptor) is False
    os.close(descriptor)
    world.run(world.line("a"), world.line("b"))
    assert len([warning for warning in world.lines.warnings if "is on a disk" in warning]) == is_on_disk


def test_stopping_leaves_the_rest_to_the_next_run(world: World) -> None:
    """A run that is stopped ends soon; what it had not done the next one does, notices included."""
    world.vault.pause = 0.05
    lines = [world.line(name, "", "web", "HUP") for name in ("a", "b", "c")]

    async def work() -> None:
        job = world.job(lines, jobs=1)
        running = asyncio.create_task(job.run())
        while not world.lines.updated:
            await asyncio.sleep(0.001)
        world.vault.pause = 60  # the rest would take longer than the test
        job.stop()
        await asyncio.wait_for(running, 30)

    asyncio.run(work())
    assert world.told == []
    assert 0 < len(world.lines.updated) < 3
    world.vault.pause = 0
    assert world.run(*lines) == 3
    assert world.told == ["web SIGHUP"]
    assert sorted(path.name for path in world.root.iterdir()) == ["a", "b", "c"]


def test_the_report(world: World) -> None:
    """The report has the same form as a sync's: actions with reasons, failures with hints, counts, outcome."""
    world.vault.errors["b"] = NotFound("no b", hint="look again")
    world.run(world.line("a", "", "web", "HUP"), world.line("b"), world.line("c", "", "late", "HUP"))
    out = io.StringIO()
    world.report.write_json(out)
    report = json.loads(out.getvalue())
    assert report["kind"] == "secrets"
    assert report["outcome"] == "failed"
    assert report["counts"] == {
        "update": 2, "unchanged": 0, "notify": 1, "stale": 0, "failed": 1, "warnings": len(report["warnings"])
    }  # fmt: skip
    assert {(action["action"], action["target"], action["reason"]) for action in report["actions"]} == {
        ("update", f"{world.root}/a", "it was missing"),
        ("update", f"{world.root}/c", "it was missing"),
        ("notify", "container:web", "SIGHUP"),
    }
    [failure] = report["failures"]
    assert (failure["action"], failure["source"], failure["target"]) == ("fetch", "aws-sm:b", f"{world.root}/b")
    assert failure["hint"] == "look again"
    assert all(f"{name}1" not in out.getvalue() for name in "abc")


NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "noted", "confirmed"),
    [
        (-3, None, -3),
        (-3, -1, -1),
        (-1, -3, -3),
        (+4000, None, None),
        (+4000, -30, -30),
        (-1, +4000, None),
        (10**9, None, None),
    ],
)
def test_a_time_in_the_future_makes_no_file_young(
    root: Path, written: int, noted: int | None, confirmed: int | None
) -> None:
    """In hours from now: what was noted counts before the file's own time; a time to come tells nothing."""
    path = root / "file"
    path.touch()
    at = NOW.timestamp() + written * 3600
    os.utime(path, (at, at))
    ages = Ages(root / "ages.json")
    if noted is not None:
        ages.confirm(str(path), NOW + timedelta(hours=noted))
    expected = None if confirmed is None else NOW + timedelta(hours=confirmed)
    assert ages.confirmed(str(path), NOW) == expected


def test_ages_survive_what_is_broken(root: Path) -> None:
    """A state file that cannot be read is started again, and one that cannot be written harms nobody."""
    path = root / "ages.json"
    for broken in ("", "nonsense", "[]", '{"confirmed": {"x": "y"}}', '{"confirmed": 3}'):
        path.write_text(broken)
        assert Ages(path).confirmed("/nowhere", NOW) is None
    ages = Ages(root / "missing" / "ages.json")
    ages.confirm("/x", World(root).clock.now())
    ages.save()


@pytest.mark.parametrize(
    ("age", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h"), (86400, "24 h"), (172800, "2 days"), (-5, "0 s")],
)
def test_ages_in_words(age: int, words: str) -> None:
    """Ages are said as people say them."""
    assert in_words(timedelta(seconds=age)) == words

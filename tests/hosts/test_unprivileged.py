"""Every command for users who may not use the state: they are told what to do, and nothing is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hosts.fixtures import COPY, Place
from tests.unprivileged import run_unprivileged

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")

JOBS = COPY + '[job.app]\nkind = "secrets"\nmap = "{folder}/map.csv"\n'


@pytest.fixture
def foreign(place: Place) -> Place:
    """A state of another user, which has been used."""
    place.configure(JOBS)
    place.source(a="1")
    (place.folder / "map.csv").write_text("# nothing\n")
    assert place.keepstep("sync", "copy").returncode == 0
    for path in (place.folder / "state", *(place.folder / "state").iterdir()):
        os.chown(path, 65534, 65534)
    return place


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["status"], 5),
        (["status", "copy", "--json"], 5),
        (["dashboard"], 5),
        (["run"], 5),
        (["sync", "copy"], 5),
        (["doctor"], 1),
        (["config", "check"], 5),
        (["sync", "copy", "--dryrun"], 0),
        (["verify", "copy"], 0),
        (["secrets", "apply", "app"], 0),
        (["secrets", "drift", "app"], 0),
    ],
)
def test_each_command_says_what_to_do(foreign: Place, words: list[str], code: int) -> None:
    """No traceback; looking and what matters more than its record go on."""
    before = sorted(path.name for path in (foreign.folder / "state").iterdir())
    result = run_unprivileged(foreign.command(*words))
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    if code == 5:
        assert "hint: " in result.stderr
    assert sorted(path.name for path in (foreign.folder / "state").iterdir()) == before


def test_a_folder_that_cannot_be_read_is_no_traceback(place: Place) -> None:
    """Nor is a current directory that is closed to this user."""
    place.configure(COPY)
    shut = place.folder / "shut"
    shut.mkdir(mode=0o000)
    os.chown(shut, 65534, 65534)
    result = run_unprivileged(place.command("status"), cwd=Path("/"))
    assert "Traceback" not in result.stderr

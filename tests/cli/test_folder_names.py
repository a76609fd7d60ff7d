"""Objects that are named exactly like the synced folder: consoles make empty ones, and some hold data."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import MainJob
from tests.cli.test_pairs import Places


@pytest.fixture
def places(main_job: MainJob, tmp_path: Path) -> Places:
    return Places(main_job, tmp_path)


CLOUDS = ("s3", "oci")


@pytest.mark.parametrize("page_size", [1, 1000])
@pytest.mark.parametrize("kind", CLOUDS)
def test_an_empty_one_is_ignored_everywhere(main_job: MainJob, places: Places, kind: str, page_size: int) -> None:
    """As source, as target, by verify and with a trash: "Create folder" in a console changes nothing."""
    marked, folder = places.new(kind), places.new("local")
    places.put(marked, "", b"")
    places.put(marked, "x", b"1")
    pages = ("--page-size", str(page_size), "--json")
    down = main_job.keepstep("sync", marked, folder, *pages)
    assert (down.code, places.contents(folder)) == (0, {"x": b"1"}), down.err
    assert main_job.keepstep("verify", marked, folder, *pages).code == 0
    assert main_job.keepstep("verify", folder, marked, *pages).code == 0
    places.put(folder, "y", b"2")
    places.put(marked, "z", b"3")
    trash = marked.replace("/in/", "/trash/")
    up = main_job.keepstep("sync", folder, marked, "--delete", "--trash", trash, *pages)
    assert (up.code, up.report["counts"]["delete"]) == (0, 1), up.err
    assert places.contents(marked) == {"": b"", "x": b"1", "y": b"2"}
    assert places.contents(trash) == {"z": b"3"}


@pytest.mark.parametrize("source_kind", CLOUDS)
@pytest.mark.parametrize("target_kind", CLOUDS)
def test_one_with_data_is_copied_between_clouds(
    main_job: MainJob, places: Places, source_kind: str, target_kind: str
) -> None:
    """It becomes the target's own; what is deleted by it counts like any other object."""
    source, target = places.new(source_kind), places.new(target_kind)
    places.put(source, "", b"12345")
    places.put(source, "x/", b"678")
    places.put(source, "x/y", b"9")
    ran = main_job.keepstep("sync", source, target, "--json")
    assert (ran.code, ran.report["counts"]["copy"]) == (0, 3), ran.err
    assert places.contents(target) == {"": b"12345", "x/": b"678", "x/y": b"9"}
    assert main_job.keepstep("verify", source, target, "--json").code == 0
    # One of the clouds shows whole seconds: a copy of the same second may seem older than its source.
    again = main_job.keepstep("sync", source, target, "--json", "--size-only")
    assert (again.code, again.report["counts"]["copy"]) == (0, 0)


def test_one_that_has_no_name_at_the_target_is_named(main_job: MainJob, places: Places) -> None:
    """A bucket without a folder has no object of an empty name, and a folder of files has none: skipped, exit 2."""
    source, bucket, folder = places.new("oci"), places.new("s3").removesuffix("in/"), places.new("local")
    places.put(source, "", b"12345")
    places.put(source, "x", b"1")
    for target, kept in ((bucket, {"x": b"1"}), (folder, {"x": b"1"})):
        for options in (("--dryrun",), ()):
            ran = main_job.keepstep("sync", source, target, "--json", *options)
            assert ran.code == 2, ran.err
            assert [a["source"] for a in ran.report["actions"] if a["action"] == "skip"] == [source]
        assert places.contents(target) == kept

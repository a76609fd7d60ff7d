"""A part of the campaign that every run of the tests affords; ``make test-differential`` is the rest of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import awscli  # type: ignore[import-untyped]
import pytest

from keepstep.cli import main
from keepstep_localcloud.aws import LocalAws
from tests.differential.compare import compare_plans, compare_results
from tests.differential.tools import Tools, captured, new_bucket, put
from tests.differential.world import NOW, case, real_case

pytestmark = pytest.mark.long

PLANS, RESULTS, CHUNKS = 64, 24, 4


@pytest.fixture(scope="module")
def _aws() -> Iterator[LocalAws]:
    """Of this process, so that objects can be given their times."""
    with LocalAws(None) as aws:
        yield aws


@pytest.fixture
def tools(_aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    for name, value in _aws.env().items():
        monkeypatch.setenv(name, value)
    # The AWS CLI sets this when it is imported, which is once.
    monkeypatch.setenv("AWS_DATA_PATH", str(Path(awscli.__file__).parent / "data"))
    folder = tmp_path / "trees"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Tools(folder)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_same_plan_as_the_aws_cli(tools: Tools, chunk: int) -> None:
    """For generated trees, times, filters and flags both would do the same, in all three directions."""
    found = [compare_plans(tools, case(number)) for number in range(chunk, PLANS, CHUNKS)]
    assert not any(found), "\n".join(str(each) for each in found if each)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_same_result_as_the_aws_cli(tools: Tools, chunk: int) -> None:
    """After both have synced equal places the same is there: contents, times, headers, metadata, ACLs, classes."""
    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    found = [compare_results(tools, real_case(number), client) for number in range(chunk, RESULTS, CHUNKS)]
    assert not any(found), "\n".join(str(each) for each in found if each)


def test_cases_cover_what_they_are_meant_to() -> None:
    """The short campaign has every direction, deletes, filters, links, archives, and options of objects."""
    cases = [case(number) for number in range(PLANS)] + [real_case(number) for number in range(RESULTS)]
    words = {word for each in cases for word in each.words}
    assert {each.direction for each in cases} == {"upload", "download", "copy"}
    assert {"--delete", "--exclude", "--include", "--size-only", "--exact-timestamps", "--case-conflict"} <= words
    assert {"--storage-class", "--acl", "--metadata", "--content-type"} <= words
    objects = [each for made in cases for each in made.source.values()]
    assert {each.link for each in objects} == {"", "file", "folder", "nothing"}
    assert {"GLACIER", "DEEP_ARCHIVE"} & {each.storage_class for each in objects}


def known(tools: Tools, *words: str) -> tuple[list[str], list[str]]:
    """What the AWS CLI does, and what we do: the differences that docs/sync.md lists."""
    return tools.aws(*words, "--dryrun").out.splitlines(), tools.keepstep(*words, "--dryrun").out.splitlines()


def test_known_copies_of_what_cannot_be_read_stay(tools: Tools, tmp_path: Path) -> None:
    """Listed difference: the AWS CLI deletes the copy of a file whose link is broken, we keep it."""
    (tmp_path / "trees" / "link").symlink_to("nowhere")
    new_bucket("known-links")
    put("known-links", "link", b"1", NOW)
    theirs, ours = known(tools, str(tmp_path / "trees"), "s3://known-links/", "--delete")
    assert (theirs, ours) == (["(dryrun) delete: s3://known-links/link"], [])


def test_known_wildcards_in_folder_names(tools: Tools, tmp_path: Path) -> None:
    """Listed difference: to the AWS CLI a folder's name is a part of each pattern, to us it is only a name."""
    folder = tmp_path / "trees" / "x[1]"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    new_bucket("known-names")
    theirs, ours = known(tools, str(folder), "s3://known-names/", "--exclude", "*")
    assert (len(theirs), ours) == (1, [])


def test_known_guards(tools: Tools, tmp_path: Path) -> None:
    """Listed difference: with an empty source the AWS CLI deletes everything, and we nothing unless told to."""
    new_bucket("known-guards")
    put("known-guards", "a", b"1", NOW)
    words = (str(tmp_path / "trees"), "s3://known-guards/", "--delete", "--dryrun")
    ours = captured(lambda: main(["sync", *words], prog_name="keepstep"))
    assert (tools.aws(*words).code, ours.code, ours.out) == (0, 4, "")

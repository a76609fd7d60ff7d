"""The comparison rule: every row of the table, and whole blocks against single keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.objects.plan import TRANSFERS, Direction, Reason, Rules, SyncDecision, decide, plan_block
from keepstep.stores.interface import Entry, Page
from tests.objects.worlds import examples, page_of, pages

UP, DOWN, COPY = Direction.UPLOAD, Direction.DOWNLOAD, Direction.COPY

rules = st.builds(Rules, st.sampled_from(Direction), *[st.booleans()] * 5)


def entry(size: int, time: int, etag: str = "", digest: str = "") -> Entry:
    return Entry("key", size, time, etag, digest=digest)


ALL = Rules(DOWN, delete=True, size_only=True, exact_timestamps=True, no_overwrite=True)
KEEP = Rules(UP, no_overwrite=True)
EXACT = Rules(DOWN, exact_timestamps=True)
BOTH = Rules(DOWN, size_only=True, exact_timestamps=True)
SUM = Rules(DOWN, contents=True)
KEEP_SUM = Rules(UP, no_overwrite=True, contents=True)
A, B = "a" * 32, "b" * 32
TABLE = {
    "only at the source": (Rules(UP), entry(1, 0), None, Reason.SOURCE_ONLY),
    "only at the source, whatever else is asked": (ALL, entry(1, 0), None, Reason.SOURCE_ONLY),
    "only at the target, deleting": (Rules(COPY, delete=True), None, entry(1, 0), Reason.TARGET_ONLY),
    "only at the target, not deleting": (Rules(COPY), None, entry(1, 0), Reason.TARGET_ONLY_KEPT),
    "no overwrite, sizes differ": (KEEP, entry(1, 9), entry(2, 0), Reason.NO_OVERWRITE),
    "no overwrite, newer": (KEEP, entry(1, 9), entry(1, 0), Reason.NO_OVERWRITE),
    "contents, no overwrite": (KEEP_SUM, entry(1, 0, A), entry(2, 0, B), Reason.NO_OVERWRITE),
    "contents, sizes differ": (SUM, entry(1, 0, A), entry(2, 0, A), Reason.SIZE_DIFFERS),
    "contents, both empty": (SUM, entry(0, 9), entry(0, 0), Reason.SAME_CONTENTS),
    "contents, one ETag that looks like an MD5": (SUM, entry(1, 9, A), entry(1, 0, A), Reason.SAME_CONTENTS),
    "contents, one ETag of parts": (SUM, entry(1, 9, A + "-2"), entry(1, 0, A + "-2"), Reason.SAME_CONTENTS),
    "contents, one MD5 and one ETag": (SUM, entry(1, 9, "x", A), entry(1, 0, A), Reason.SAME_CONTENTS),
    "contents, ETags that differ": (SUM, entry(1, 0, A), entry(1, 0, B), Reason.CONTENTS_UNKNOWN),
    "contents, an ETag and an MD5 that differ": (SUM, entry(1, 0, A), entry(1, 0, "x", B), Reason.CONTENTS_UNKNOWN),
    "contents, MD5s that differ": (SUM, entry(1, 0, "x", A), entry(1, 0, "x", B), Reason.CONTENTS_DIFFER),
    "contents, an MD5 and one of parts": (
        SUM,
        entry(1, 0, "x", A),
        entry(1, 0, "x", A + "-1"),
        Reason.CONTENTS_UNKNOWN,
    ),
    "contents, one tag that is not an MD5": (SUM, entry(1, 0, "v1"), entry(1, 0, "v1"), Reason.CONTENTS_UNKNOWN),
    "contents, nothing known": (SUM, entry(1, 0), entry(1, 0), Reason.CONTENTS_UNKNOWN),
    "exact, download, sizes differ": (EXACT, entry(1, 5), entry(2, 5), Reason.SIZE_DIFFERS),
    "exact, download, older": (EXACT, entry(1, 4), entry(1, 5), Reason.TIMES_DIFFER),
    "exact, download, newer": (EXACT, entry(1, 6), entry(1, 5), Reason.TIMES_DIFFER),
    "exact, download, equal": (EXACT, entry(1, 5), entry(1, 5), Reason.SAME_SIZE_AND_TIME),
    "exact beats size only": (BOTH, entry(1, 6), entry(1, 5), Reason.TIMES_DIFFER),
    "exact beats size only, uploading": (
        Rules(UP, False, True, True),
        entry(1, 6),
        entry(1, 5),
        Reason.SOURCE_NEWER,
    ),
    "exact, upload: as without": (Rules(UP, exact_timestamps=True), entry(1, 4), entry(1, 5), Reason.NOT_NEWER),
    "sizes differ, upload, older": (Rules(UP), entry(1, 0), entry(2, 9), Reason.SIZE_DIFFERS),
    "sizes differ, download": (Rules(DOWN), entry(1, 0), entry(2, 0), Reason.SIZE_DIFFERS),
    "size only, sizes differ": (Rules(DOWN, size_only=True), entry(1, 0), entry(2, 0), Reason.SIZE_DIFFERS),
    "size only, newer": (Rules(UP, size_only=True), entry(1, 9), entry(1, 0), Reason.SAME_SIZE),
    "size only, local newer": (Rules(DOWN, size_only=True), entry(1, 0), entry(1, 9), Reason.SAME_SIZE),
    "upload, newer": (Rules(UP), entry(1, 6), entry(1, 5), Reason.SOURCE_NEWER),
    "copy, newer": (Rules(COPY), entry(1, 6), entry(1, 5), Reason.SOURCE_NEWER),
    "upload, equal": (Rules(UP), entry(1, 5), entry(1, 5), Reason.NOT_NEWER),
    "copy, older": (Rules(COPY), entry(1, 4), entry(1, 5), Reason.NOT_NEWER),
    "download, local newer": (Rules(DOWN), entry(1, 4), entry(1, 5), Reason.LOCAL_NEWER),
    "download, equal": (Rules(DOWN), entry(1, 5), entry(1, 5), Reason.NOT_NEWER),
    "download, source newer": (Rules(DOWN), entry(1, 6), entry(1, 5), Reason.SOURCE_NEWER_IGNORED),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_each_row_of_the_table(row: tuple[Rules, Entry | None, Entry | None, Reason]) -> None:
    """Each row of the table in plan.py decides as it says."""
    rules, source, target, reason = row
    assert decide(rules, source, target) is reason


@examples
@given(rules, st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))
def test_the_aws_cli_decides_alike(rules: Rules, size: int, time: int, other_size: int, other_time: int) -> None:
    """For a key at both sides, we transfer exactly when the AWS CLI's own strategy classes would."""
    if rules.no_overwrite or rules.contents:
        return  # its version 2 only, and ours
    strategy = aws_strategy(rules)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    ours = SimpleNamespace(size=size, last_update=moment + timedelta(microseconds=time), src="", dest="")
    ours.operation_name = rules.direction.value
    theirs = SimpleNamespace(size=other_size, last_update=moment + timedelta(microseconds=other_time))
    does = decide(rules, Entry("k", size, time), Entry("k", other_size, other_time)) in TRANSFERS
    assert does == strategy.determine_should_sync(ours, theirs)


def aws_strategy(rules: Rules) -> Any:
    """Both given, the AWS CLI takes the one that was registered last, --exact-timestamps."""
    from awscli.customizations.s3.syncstrategy import (  # type: ignore[import-untyped]
        base,
        exacttimestamps,
        sizeonly,
    )

    if rules.exact_timestamps:
        return exacttimestamps.ExactTimestampsSync()
    return sizeonly.SizeOnlySync() if rules.size_only else base.SizeAndLastModifiedSync()


def one_by_one(
    rules: Rules, source: Page, target: Page, unreadable_at_source: list[str], unreadable_at_target: list[str]
) -> dict[str, SyncDecision]:
    """What ``plan_block`` has to come to, key by key."""
    ours = {key: source.entry(n) for n, key in enumerate(source.keys)}
    theirs = {key: target.entry(n) for n, key in enumerate(target.keys)}
    plan = {}
    for key in ours.keys() | theirs.keys():
        reason = decide(rules, ours.get(key), theirs.get(key))
        if key not in theirs and key.startswith(tuple(unreadable_at_target)):
            reason = Reason.UNKNOWN_AT_TARGET
        if key not in ours and key.startswith(tuple(unreadable_at_source)):
            reason = Reason.UNKNOWN_AT_SOURCE
        plan[key] = SyncDecision(reason, ours.get(key), theirs.get(key))
    return plan


prefixes = st.lists(st.sampled_from(["a/", "a", "b/", ""]), max_size=2)


@examples
@given(rules, pages, pages, prefixes, prefixes, st.booleans())
def test_a_block_is_decided_as_its_keys_one_by_one(
    rules: Rules,
    source: Page,
    target: Page,
    unreadable_at_source: list[str],
    unreadable_at_target: list[str],
    explain: bool,
) -> None:
    """Whatever the pages, rules and holes, a block's plan is the sum of what is decided for each key."""
    expected = one_by_one(rules, source, target, unreadable_at_source, unreadable_at_target)
    plan = plan_block(
        rules,
        source,
        target,
        unreadable_at_source=unreadable_at_source,
        unreadable_at_target=unreadable_at_target,
        explain=explain,
    )
    moves = {d.source.key: d for d in plan.transfers if d.source}
    unknown = {key: d for key, d in expected.items() if d.reason is Reason.CONTENTS_UNKNOWN}
    assert {d.source.key: d for d in plan.unknown if d.source} == unknown
    assert moves == {key: d for key, d in expected.items() if d.reason in TRANSFERS}
    deletes = [key for key, d in sorted(expected.items()) if d.reason is Reason.TARGET_ONLY]
    assert [e.key for e in plan.deletes] == deletes
    done = {*TRANSFERS, Reason.TARGET_ONLY, Reason.CONTENTS_UNKNOWN}
    rest = [d for d in expected.values() if d.reason not in done]
    assert sorted(map(str, plan.idle)) == (sorted(map(str, rest)) if explain else [])
    assert plan.newer_ignored == sum(d.reason is Reason.SOURCE_NEWER_IGNORED for d in rest)
    assert (plan.source_keys, plan.target_keys) == (len(source), len(target))


tags = st.sampled_from([A, B, A + "-2", "v1", ""])


@examples
@given(st.lists(st.tuples(st.integers(0, 1), tags, tags, tags, tags, st.booleans()), max_size=6), st.booleans())
def test_where_contents_count_a_block_is_decided_as_its_keys(
    rows: list[tuple[int, str, str, str, str, bool]], has_digests: bool
) -> None:
    """Whatever tags and proofs there are, fast path or not, each key has its row of the table; proofs of other
    states of the objects count for nothing."""
    source, target, proved = Page(), Page(), {}
    for n, (size, our_etag, their_etag, our_digest, stale, is_proved) in enumerate(rows):
        digest = our_digest if has_digests and our_digest in (A, B) else ""
        ours, theirs = Entry(f"k{n}", size, 9, our_etag, digest=digest), Entry(f"k{n}", size, 0, their_etag)
        source.append(ours)
        target.append(theirs)
        proved[f"k{n}"] = (ours.tag, theirs.tag if is_proved else theirs.tag + stale)
    plan = plan_block(SUM, source, target, proved=proved)
    found = [d.source.key for d in plan.unknown if d.source]
    expected = []
    for n in range(len(rows)):
        ours, theirs = source.entry(n), target.entry(n)
        is_known = proved[ours.key] == (ours.tag, theirs.tag)
        if decide(SUM, ours, theirs) is Reason.CONTENTS_UNKNOWN and not is_known:
            expected.append(ours.key)
    assert found == expected
    assert not plan.transfers


@examples
@given(rules, pages, st.lists(st.integers(-1, 1), min_size=12, max_size=12))
def test_the_fast_path_is_never_wrong(rules: Rules, source: Page, shifts: list[int]) -> None:
    """Two sides with the same keys, where most blocks are settled without looking at keys, get the same plan."""
    target = Page(
        list(source.keys), list(source.sizes), [t + s for t, s in zip(source.times, shifts, strict=False)]
    )
    target.etags = list(source.etags)
    plan = plan_block(rules, source, target)
    expected = one_by_one(rules, source, target, [], [])
    assert [d.source and d.source.key for d in plan.transfers] == [
        key for key, d in sorted(expected.items()) if d.reason in TRANSFERS
    ]
    assert plan.newer_ignored == sum(d.reason is Reason.SOURCE_NEWER_IGNORED for d in expected.values())


def test_objects_that_cannot_be_read_are_planned_like_others() -> None:
    """What makes an object unfit travels with the decision, so that whoever moves it can say why it does not."""
    source = page_of([Entry("a", 1, 0), Entry("b", -1, 0, unfit="is a socket")])
    plan = plan_block(Rules(UP), source, Page())
    assert [d.source and d.source.unfit for d in plan.transfers] == ["", "is a socket"]

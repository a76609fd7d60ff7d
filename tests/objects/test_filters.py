"""Filters against the AWS CLI's own ``Filter`` class, and what we promise beyond it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.objects.filters import Filters, Rule
from keepstep.stores.interface import Entry
from tests.objects.worlds import examples, page_of

patterns = st.text(alphabet="ab/*?[]!-.é\n", max_size=6).filter(lambda text: not text.startswith("/"))
some_keys = st.text(alphabet="ab/-.é]\n", min_size=1, max_size=6)
rules = st.builds(Rule, st.booleans(), patterns)


def aws_includes(given: list[Rule], key: str, *, source: str = "/src", target: str = "s3://bucket/pre") -> bool:
    """What ``aws s3 sync source target`` says of a key of the source."""
    from awscli.customizations.s3.filters import create_filter  # type: ignore[import-untyped]

    filters = [["--include" if rule.is_include else "--exclude", rule.pattern] for rule in given]
    made: Any = create_filter({"filters": filters, "src": source, "dest": target, "dir_op": True})
    root, kind = (source[5:], "s3") if source.startswith("s3://") else (source, "local")
    return bool(list(made.call([SimpleNamespace(src=f"{root}/{key}", src_type=kind)])))


@examples
@given(st.lists(rules, max_size=4), some_keys)
def test_verdicts_are_those_of_the_aws_cli(given: list[Rule], key: str) -> None:
    """Any rules in any order decide about any key as the AWS CLI decides, from a folder and from a bucket."""
    ours = Filters(given).includes(key)
    assert ours == aws_includes(given, key)
    assert ours == aws_includes(given, key, source="s3://bucket/pre", target="/dst")


def test_the_last_match_decides() -> None:
    """Everything starts included; of several rules that match, the one given last counts."""
    filters = Filters([Rule(False, "*"), Rule(True, "*.csv"), Rule(False, "old/*")])
    assert [filters.includes(key) for key in ("a.csv", "b.txt", "old/a.csv")] == [True, False, False]
    assert filters.rule_for("a.csv") == Rule(True, "*.csv")
    assert Filters().rule_for("a.csv") is None
    assert str(Rule(False, "old/*")) == "--exclude 'old/*'"


KNOWN_DIFFERENCES = {
    "a pattern that spells out the whole path": ([Rule(False, "/src/a*")], "abc", "/src", "s3://b/p"),
    "a wildcard in the folder's name": ([Rule(False, "b")], "a/b", "/s?c/[x]", "s3://b/p"),
    "a pattern for a target inside the source": ([Rule(False, "a")], "in/a", "/src", "/src/in"),
}


@pytest.mark.parametrize("case", KNOWN_DIFFERENCES.values(), ids=KNOWN_DIFFERENCES)
def test_known_differences(case: tuple[list[Rule], str, str, str]) -> None:
    """Where the AWS CLI lets the folder's own path take part in a match, we look at the key alone."""
    given, key, source, target = case
    assert Filters(given).includes(key)
    if "[" not in source:
        assert not aws_includes(given, key, source=source, target=target)
    else:  # there the brackets of the path have become a set, so that the pattern misses its own folder
        assert not Filters(given).includes("b")
        assert aws_includes(given, "b", source=source, target=target)


@examples
@given(st.lists(rules, max_size=4), st.text(alphabet="ab/", max_size=3), st.lists(some_keys, max_size=8))
def test_a_prefix_out_of_reach_holds_no_key_in_scope(given: list[Rule], prefix: str, tails: list[str]) -> None:
    """What ``may_reach`` rules out has no key in scope, whatever its keys are."""
    filters = Filters(given)
    if not filters.may_reach(prefix):
        assert not any(filters.includes(prefix + tail) for tail in ["", *tails])


@pytest.mark.parametrize(
    ("given", "prefix", "expected"),
    [
        ([], "lost+found/", True),
        ([Rule(False, "lost+found/*")], "lost+found/", False),
        ([Rule(False, "lost*")], "lost+found/", False),
        ([Rule(False, "lost+found")], "lost+found/", True),
        ([Rule(False, "*"), Rule(True, "reports/*")], "lost+found/", False),
        ([Rule(False, "*"), Rule(True, "reports/*")], "reports/2026/", True),
        ([Rule(False, "*"), Rule(True, "reports/*")], "rep", True),
        ([Rule(False, "*"), Rule(True, "*.csv")], "lost+found/", True),
        ([Rule(True, "*.csv"), Rule(False, "*")], "lost+found/", False),
    ],
)
def test_which_prefixes_are_out_of_reach(given: list[Rule], prefix: str, expected: bool) -> None:
    """A folder that is excluded as a whole is out of reach, unless a later rule may take some of it in again."""
    assert Filters(given).may_reach(prefix) is expected


def test_markers_of_folders_are_never_in_scope() -> None:
    """Empty objects whose key ends in a slash, the folder's own among them, are what consoles call folders."""
    page = page_of([Entry("", 0, 1), Entry("a", 0, 1), Entry("a/", 0, 1), Entry("b/", 1, 1)])
    assert Filters().select(page).keys == ["a", "b/"]
    assert Filters([Rule(False, "a")]).select(page).keys == ["b/"]
    assert Filters().select(page_of([Entry("", 5, 1)])).keys == [""]


entries = st.builds(
    Entry, some_keys, st.integers(0, 1), st.integers(0, 9), st.just("tag"), st.sampled_from(["", "x"])
)


@examples
@given(st.lists(rules, max_size=2), st.lists(entries, max_size=8))
def test_a_selected_page_is_the_page_without_what_is_out_of_scope(given: list[Rule], items: list[Entry]) -> None:
    """Selection drops entries whole: every column of what stays is as it was."""
    filters, page = Filters(given), page_of(items)
    kept = [e for e in map(page.entry, range(len(page))) if filters.includes(e.key)]
    kept = [e for e in kept if e.size or not e.key.endswith("/")]
    selected = filters.select(page)
    assert [selected.entry(n) for n in range(len(selected))] == kept

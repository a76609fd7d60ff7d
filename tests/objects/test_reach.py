"""What of a listing the filters can reach: never too little, and little where they leave little."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.objects.filters import Filters, Rule
from keepstep.objects.reach import NOWHERE, intersection, reach
from keepstep.stores.interface import EVERYTHING, Span

WORDS = st.lists(
    st.sampled_from(["a", "b/", "b", "/", "*", "?", "[a]", "\x00", "é", "\ud7ff", "\ue000", "\U0010ffff"]),
    max_size=4,
).map("".join)
KEYS = st.lists(
    st.sampled_from(["a", "b/", "b", "/", "c", "\x00", "é", "\ud7ff", "\ue000", "\U0010ffff"]),
    min_size=1,
    max_size=5,
).map("".join)


def is_in(spans: object, key: str) -> bool:
    return any(span.holds(key) for span in spans)  # type: ignore[attr-defined]


@given(st.lists(st.builds(Rule, st.booleans(), WORDS), max_size=5), st.lists(KEYS, max_size=10))
def test_no_key_in_scope_is_out_of_reach(rules: list[Rule], keys: list[str]) -> None:
    """Whatever the rules: a key that they include lies in a span, and the spans are ordered and apart."""
    filters, spans = Filters(rules), reach(rules)
    for key in keys:
        assert is_in(spans, key) or not filters.includes(key)
    ends = [span.until for span in spans]
    assert None not in ends[:-1]
    assert all(end is not None and end <= (span.after or "") for end, span in zip(ends, spans[1:], strict=False))


def rules_of(text: str) -> list[Rule]:
    """``-x +y``: excludes x, then includes y."""
    return [Rule(word[0] == "+", word[1:]) for word in text.split()]


@pytest.mark.parametrize(
    ("rules", "inside", "outside"),
    [
        ("-* +logs/*", "logs/a logs/z/z", "a logs loga/x logs1 z"),
        ("-* +b/*.csv +a/x", "a/x b/1.txt", "a/a a/w a/z b b1 c"),
        ("-tmp/*", "a tmp tmq z", "tmp/a tmp/z/z"),
        ("-a/* -b/* +a/keep/*", "a/keep/x c", "a/x a/z b/x"),
        ("-*.txt", "a.txt b", ""),
        ("-b/*", "a c", "b/x"),
    ],
)
def test_what_no_rule_can_reach_is_left_out(rules: str, inside: str, outside: str) -> None:
    """Keys that begin as no rule allows are in no span; those next to them are."""
    spans = reach(rules_of(rules))
    assert all(is_in(spans, key) for key in inside.split())
    assert not any(is_in(spans, key) for key in outside.split())


def test_extremes() -> None:
    """No rule reaches everything, and a rule against everything reaches nothing, which still is a span."""
    assert reach([]) == list(EVERYTHING)
    assert reach(rules_of("-*")) == NOWHERE
    many = reach([Rule(False, f"{n:03}/*") for n in range(100)])
    assert len(many) == 1
    assert is_in(many, "zzz")


SPANS = st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True).map(
    lambda ends: [Span(a, b) for a, b in zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False)]
)


@given(SPANS, SPANS, st.sampled_from("abcdefghi"))
def test_an_intersection_holds_what_both_hold(ours: list[Span], theirs: list[Span], key: str) -> None:
    """A key is in the intersection exactly when it is in both."""
    both = intersection(ours or NOWHERE, theirs or NOWHERE)
    assert is_in(both, key) == (is_in(ours, key) and is_in(theirs, key))

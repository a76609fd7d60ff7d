"""What must hold before the first delete."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.errors import ConfigError, ExitCode
from keepstep.objects.guard import Cap, Objection, object_to, object_to_places
from tests.objects.worlds import examples


def asked(deletes: int, **more: Any) -> Objection | None:
    usual: dict[str, Any] = {"source_in_scope": 100, "target_in_scope": 100, "uncertified": "", "cap": Cap()}
    return object_to(deletes=deletes, **(usual | {"allow_empty_source": False} | more))


@pytest.mark.parametrize(
    ("text", "in_scope", "allowed"),
    [
        ("0", 100, 0),
        ("20", 100, 20),
        ("20", 10, 20),
        ("0%", 100, 0),
        ("50%", 100, 50),
        ("50 %", 101, 50),
        ("100%", 7, 7),
        ("33.3%", 1000, 333),
        ("0.1%", 999, 0),
        ("0.1%", 1000, 1),
        (" 12.5% ", 8, 1),
    ],
)
def test_exactly_the_cap_is_allowed(text: str, in_scope: int, allowed: int) -> None:
    """A cap of N, or of N %, allows that many deletes and refuses one more."""
    cap = Cap.parse(text)
    assert cap.allows(allowed, in_scope)
    assert not cap.allows(allowed + 1, in_scope)


@examples
@given(st.integers(0, 10**9), st.decimals(0, 100, places=3), st.integers(0, 10**9))
def test_a_share_is_reckoned_exactly(deletes: int, percent: object, in_scope: int) -> None:
    """No rounding decides whether something is deleted."""
    expected = deletes * 100_000 <= round(float(str(percent)) * 1000) * in_scope
    assert Cap.parse(f"{percent}%").allows(deletes, in_scope) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1.5", "101%", "100.1%", "%", "5%%", "nan", "nan%", "inf", "1e3", "٣", "9" * 30, "1 0"]
)
def test_what_is_no_cap_is_refused(text: str) -> None:
    """Anything but a whole number or a share up to 100 % is an error that says how to write it."""
    with pytest.raises(ConfigError) as caught:
        Cap.parse(text)
    assert caught.value.exit_code is ExitCode.MISCONFIGURED
    assert caught.value.hint == "write it as 100 or as 25%"


@pytest.mark.parametrize(("cap", "text"), [(Cap(), "50%"), (Cap.parse("7"), "7"), (Cap.parse("12.50%"), "12.50%")])
def test_a_cap_reads_as_it_was_written(cap: Cap, text: str) -> None:
    """Messages show the cap as the user gave it."""
    assert str(cap) == text


def test_nothing_to_delete_needs_no_permission() -> None:
    """Without deletes there is no objection, whatever is wrong otherwise."""
    assert asked(0, source_in_scope=0, target_in_scope=0, uncertified="source") is None


def test_a_listing_that_broke_withholds_deletes() -> None:
    """Deletes need both listings; that they are withheld is a failure, not a refusal, and comes before the rest."""
    objection = asked(1, uncertified="target", source_in_scope=0)
    assert objection is not None
    assert not objection.is_refusal
    assert objection.message == "1 deletes withheld: the listing of the target is not complete"


def test_an_empty_source_deletes_nothing_unless_expressly_allowed() -> None:
    """An empty source refuses; with --allow-empty-source everything goes, unless a cap was asked for."""
    refused = asked(100, source_in_scope=0)
    assert refused is not None
    assert refused.is_refusal
    assert "--allow-empty-source" in refused.hint
    assert asked(100, source_in_scope=0, allow_empty_source=True) is None
    capped = asked(100, source_in_scope=0, allow_empty_source=True, cap=Cap.parse("99"))
    assert capped is not None
    assert capped.is_refusal


def test_above_the_cap_nothing_is_deleted() -> None:
    """One more than the cap refuses, says how many of how many, and how to allow it."""
    assert asked(50) is None
    refused = asked(51)
    assert refused is not None
    assert refused.is_refusal
    assert refused.message == "refused to delete 51 of 100 objects (51%): the cap is 50%"
    assert "--max-delete 51" in refused.hint
    close = asked(5001, target_in_scope=10_000)
    assert close is not None
    assert "(50.01%)" in close.message


def test_a_source_inside_the_target_is_refused() -> None:
    """The objection names the folder, and how to leave it out."""
    objection = object_to_places("dist/")
    assert objection.is_refusal
    assert "--exclude 'dist/*'" in objection.hint

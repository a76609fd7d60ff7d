"""Keys that differ only in case: which of them are admitted."""

from __future__ import annotations

import pytest

from keepstep.errors import Error
from keepstep.objects.case import CaseGuard, OnConflict
from keepstep.objects.plan import Reason, SyncDecision
from keepstep.stores.interface import Entry


def admitted(policy: OnConflict, *keys: str, there: tuple[str, ...] = ()) -> tuple[list[str], int]:
    """Which keys are admitted, and how many warnings there were."""
    warnings: list[str] = []
    guard = CaseGuard(policy, there.__contains__, warnings.append)
    found = [key for key in keys if guard.admit(SyncDecision(Reason.SOURCE_ONLY, Entry(key, 1, 0), None))]
    return found, len(warnings)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (OnConflict.IGNORE, (["A", "B", "a", "Ä", "ä"], 0)),
        (OnConflict.WARN, (["A", "B", "a", "Ä", "ä"], 2)),
        (OnConflict.SKIP, (["A", "B", "Ä"], 2)),
    ],
)
def test_policies(policy: OnConflict, expected: tuple[list[str], int]) -> None:
    """The first of a kind is always admitted; what becomes of the later ones is the policy."""
    assert admitted(policy, "A", "B", "a", "Ä", "ä") == expected


def test_a_file_that_is_there_all_the_same() -> None:
    """Where the file system minds no case, a key that the target does not list may stand there already."""
    assert admitted(OnConflict.SKIP, "a", "b", there=("a",)) == (["b"], 1)


def test_an_error_names_the_key() -> None:
    """With ``error`` the conflict is raised, and names the key."""
    with pytest.raises(Error, match="readme"):
        admitted(OnConflict.ERROR, "README", "readme")


def test_a_key_at_both_sides_is_no_conflict_with_itself() -> None:
    """A file that is to be replaced is expected to be there."""
    guard = CaseGuard(OnConflict.ERROR, lambda key: True, pytest.fail)
    entry = Entry("a", 1, 0)
    assert guard.admit(SyncDecision(Reason.SIZE_DIFFERS, entry, entry))


def test_keys_at_both_sides_are_no_conflict() -> None:
    """Two files that are there under both names show that the file system minds the case."""
    guard = CaseGuard(OnConflict.ERROR, lambda key: False, pytest.fail)
    for key in ("A", "a"):
        assert guard.admit(SyncDecision(Reason.SIZE_DIFFERS, Entry(key, 1, 0), Entry(key, 2, 0)))

"""The table in secrets/diff.py, row by row, and what must hold in every case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.secrets.delivery import FileAttributes
from keepstep.secrets.diff import FileChange, Is, Observed, decide

OURS = FileAttributes(0o600)
APPS = FileAttributes(0o640, 1000, 1001)


@pytest.mark.parametrize(
    ("observed", "attributes", "verdict"),
    [
        (Observed(Is.NOTHING), OURS, FileChange.CREATE),
        (Observed(Is.LINK), OURS, FileChange.REPLACE),
        (Observed(Is.FOLDER), OURS, FileChange.REFUSE),
        (Observed(Is.PIPE), OURS, FileChange.REFUSE),
        (Observed(Is.SOCKET), OURS, FileChange.REFUSE),
        (Observed(Is.DEVICE), OURS, FileChange.REFUSE),
        (Observed(Is.FILE, b"old", 0o600), OURS, FileChange.REPLACE),
        (Observed(Is.FILE, b"new\n", 0o600), OURS, FileChange.REPLACE),
        (Observed(Is.FILE, b"new", 0o644), OURS, FileChange.REPLACE),
        (Observed(Is.FILE, b"new", 0o640, 1000, 0), APPS, FileChange.REPLACE),
        (Observed(Is.FILE, b"new", 0o640, 0, 1001), APPS, FileChange.REPLACE),
        (Observed(Is.FILE, b"new", 0o600), OURS, FileChange.KEEP),
        (Observed(Is.FILE, b"new", 0o600, 1000, 1000), OURS, FileChange.KEEP),
        (Observed(Is.FILE, b"new", 0o640, 1000, 1001), APPS, FileChange.KEEP),
    ],
)
def test_the_table(observed: Observed, attributes: FileAttributes, verdict: FileChange) -> None:
    """One case for each row; an owner that nobody asked for is nobody's business."""
    assert decide(observed, b"new", attributes).verdict is verdict


files = st.builds(
    Observed, st.just(Is.FILE), st.binary(max_size=4), st.integers(0, 0o777), st.integers(0, 2), st.integers(0, 2)
)
all_attributes = st.builds(
    FileAttributes, st.integers(0, 0o777), st.none() | st.integers(0, 2), st.none() | st.integers(0, 2)
)


@given(files, st.binary(max_size=4), all_attributes)
def test_what_is_kept_is_right(observed: Observed, content: bytes, attributes: FileAttributes) -> None:
    """A file is kept if and only if content, mode and the owners that were asked for are right."""
    is_right = (
        observed.content == content
        and observed.mode == attributes.mode
        and attributes.uid in (None, observed.uid)
        and attributes.gid in (None, observed.gid)
    )
    assert (decide(observed, content, attributes).verdict is FileChange.KEEP) == is_right


@given(st.builds(Observed, st.sampled_from(Is), st.just(b"S3cr3t-old")), all_attributes)
def test_reasons_hold_no_content(observed: Observed, attributes: FileAttributes) -> None:
    """What people read of a decision has nothing of either content."""
    decision = decide(observed, b"S3cr3t-new", attributes)
    assert "S3cr3t" not in decision.reason + repr(observed)

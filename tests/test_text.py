"""Text that others chose, as it can be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é", "plain é"),
        ("a\nb\x1b[2J", "a\\x0ab\\x1b[2J"),
        ("\udcff", "\\xff"),
        ("\ud800", "\\ud800"),
        ("\udfff", "\\udfff"),
    ],
)
def test_what_cannot_be_shown_is_escaped(text: str, shown: str) -> None:
    """Control characters, bytes that are no text, and halves of characters, which no terminal takes."""
    assert printable(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_anything_can_be_shown(text: str) -> None:
    """Whatever a server says, it is one line of text that any stream of UTF-8 takes."""
    assert printable(text).encode().decode().isprintable()

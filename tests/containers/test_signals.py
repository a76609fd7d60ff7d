"""Signals as people write them."""

from __future__ import annotations

import contextlib
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.containers.signals import signal_name, signal_number


@pytest.mark.parametrize(
    ("text", "name", "number"),
    [
        ("HUP", "SIGHUP", 1),
        ("sighup", "SIGHUP", 1),
        (" Usr1 ", "SIGUSR1", signal.SIGUSR1),
        ("1", "SIGHUP", 1),
        ("12", "SIGUSR2", 12),
        ("RTMIN+3", "SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("SIGRTMAX-1", "SIGRTMAX-1", signal.SIGRTMAX - 1),
        ("RTMIN", "SIGRTMIN", signal.SIGRTMIN),
        ("50", "50", 50),
    ],
)
def test_names_and_numbers(text: str, name: str, number: int) -> None:
    """With or without SIG, in any case, by number, and the real-time ones."""
    assert signal_name(text) == name
    assert signal_number(name) == number


@pytest.mark.parametrize("text", ["", "NOPE", "0", "-1", "65", "999", "RTMIN+99", "SIG", "HUP;rm", "RTMAX+1"])
def test_what_is_no_signal(text: str) -> None:
    """Everything else is refused."""
    with pytest.raises(ValueError, match="is not a signal"):
        signal_name(text)


@given(st.text(max_size=12))
def test_any_text_is_a_signal_or_none(text: str) -> None:
    """What is accepted has a number that the kernel knows."""
    with contextlib.suppress(ValueError):
        assert 1 <= signal_number(signal_name(text)) <= signal.SIGRTMAX

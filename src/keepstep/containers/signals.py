"""Signals as people write them: ``HUP``, ``SIGHUP``, ``hup``, ``1``, ``RTMIN+3``."""

from __future__ import annotations

import re
import signal

_REALTIME = re.compile(r"SIGRTM(?:IN(?:\+(\d{1,2}))?|AX(?:-(\d{1,2}))?)")


def signal_name(text: str) -> str:
    """The full name, ``SIGHUP``; a number without a name stays a number. Raises ``ValueError``."""
    word = text.strip().upper()
    if word.isdecimal():
        return _of_number(int(word), text)
    name = word if word.startswith("SIG") else f"SIG{word}"
    if name in signal.Signals.__members__ or (_REALTIME.fullmatch(name) and _is_in_range(name)):
        return name
    raise ValueError(f"{text!r} is not a signal")


def signal_number(name: str) -> int:
    """Of a name that :func:`signal_name` gave."""
    if name.isdecimal():
        return int(name)
    if match := _REALTIME.fullmatch(name):
        up, down = match.groups()
        return signal.SIGRTMAX - int(down or 0) if "MAX" in name else signal.SIGRTMIN + int(up or 0)
    return signal.Signals[name].value


def _of_number(number: int, text: str) -> str:
    if not 1 <= number <= signal.SIGRTMAX:
        raise ValueError(f"{text!r} is not a signal")
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _is_in_range(name: str) -> bool:
    return signal.SIGRTMIN <= signal_number(name) <= signal.SIGRTMAX

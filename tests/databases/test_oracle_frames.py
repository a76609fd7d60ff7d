"""Which streams of Oracle Net's packets get through to the driver."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.databases.oracle_frames import Frames

bodies = st.lists(st.tuples(st.sampled_from([1, 4, 6, 11, 12]), st.binary(max_size=300)), max_size=8)


def packet(kind: int, body: bytes, *, is_long: bool) -> bytes:
    size = (8 + len(body)).to_bytes(4, "big") if is_long else (8 + len(body)).to_bytes(2, "big") + b"\0\0"
    return size + bytes([kind, 0, 0, 0]) + body


def stream(before: list[tuple[int, bytes]], version: int, after: list[tuple[int, bytes]]) -> bytes:
    """Packets of short sizes, one that accepts the connection, and packets of what that version counts in."""
    accept = packet(2, version.to_bytes(2, "big") + bytes(24), is_long=False)
    first = b"".join(packet(*each, is_long=False) for each in before)
    return first + accept + b"".join(packet(*each, is_long=version >= 315) for each in after)


def taken(data: bytes, cuts: list[int]) -> None:
    frames, at = Frames(), 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        frames.take(data[at:cut])
        at = cut


@given(bodies, st.sampled_from([300, 314, 315, 319]), bodies, st.lists(st.integers(0, 9999), max_size=12))
def test_what_a_server_sends_gets_through(
    before: list[tuple[int, bytes]], version: int, after: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    """Packets of every size, in two bytes and in four, however they are cut on their way."""
    taken(stream(before, version, after), cuts)


@given(
    bodies,
    st.sampled_from([300, 314, 315, 319]),
    bodies,
    st.lists(st.integers(0, 9999), max_size=12),
    st.integers(0, 7),
)
def test_a_packet_smaller_than_its_header_does_not(
    before: list[tuple[int, bytes]], version: int, after: list[tuple[int, bytes]], cuts: list[int], size: int
) -> None:
    """Wherever it stands, and however it is cut."""
    end = size.to_bytes(4, "big") if version >= 315 else size.to_bytes(2, "big") + b"\0\0"
    with pytest.raises(OSError, match=f"a packet of {size} bytes"):
        taken(stream(before, version, after) + end + b"\6\0\0\0", cuts)

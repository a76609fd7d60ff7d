"""How long an exchange may take that hardly moves: decided row by row, and tried on connections."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from keepstep.clouds.http import HttpPool, Timeouts
from keepstep.clouds.http_pace import LEAST_RATE, ExchangePace
from keepstep.errors import Transient
from tests.clouds.wire import Handler, Peer, serving

IDLE = 60.0


def judged(*, size: int, unsent: list[int], taken: list[int], has_head: bool, is_slow: bool = False) -> str | None:
    """The first complaint about an exchange of which these are the seconds."""
    pace = ExchangePace(0.0)
    pace.begin(0.0, size, is_slow=is_slow)
    for second, (left, received) in enumerate(zip(unsent, taken, strict=True), 1):
        if received != pace.taken:
            pace.taken, pace.last = received, float(second)
        if complaint := pace.complaint(float(second), left, IDLE, has_head=has_head):
            return f"{second}: {complaint}"
    return None


HOURS = 3 * 3600
MINUTES = 300


@pytest.mark.parametrize(
    ("exchange", "complaint"),
    [
        # the server thinks, and answers just in time
        ({"size": 300, "unsent": [0] * 60, "taken": [0] * 59 + [200], "has_head": True}, None),
        # silence before the answer, and in it
        ({"size": 300, "unsent": [0] * 99, "taken": [0] * 99, "has_head": False}, "62: was silent for 60 s"),
        (
            {"size": 300, "unsent": [0] * 99, "taken": [0, 9, *[9] * 97], "has_head": True},
            "63: was silent for 60 s",
        ),
        # a body that drips, a byte every second or every fifty
        (
            {"size": 300, "unsent": [0] * MINUTES, "taken": list(range(MINUTES)), "has_head": True},
            "61: moved only 60 bytes in 60 s",
        ),
        (
            {"size": 300, "unsent": [0] * MINUTES, "taken": [n // 50 for n in range(MINUTES)], "has_head": True},
            "110: moved only 2 bytes in 60 s",
        ),
        # a head that does not end, however fast it comes
        (
            {"size": 300, "unsent": [0] * 99, "taken": [n * 5000 for n in range(1, 100)], "has_head": False},
            "62: did not end the head of its answer within 60 s",
        ),
        # as slow as is allowed, for hours
        (
            {
                "size": 300,
                "unsent": [0] * HOURS,
                "taken": [n * (LEAST_RATE + 1) for n in range(HOURS)],
                "has_head": True,
            },
            None,
        ),
        # an upload of which next to nothing is taken, nothing is taken, or enough
        (
            {
                "size": 10**7,
                "unsent": [10**7 - n for n in range(MINUTES)],
                "taken": [0] * MINUTES,
                "has_head": False,
            },
            "60: moved only 59 bytes in 60 s",
        ),
        ({"size": 10**7, "unsent": [10**7] * 99, "taken": [0] * 99, "has_head": False}, "61: was silent for 60 s"),
        (
            {
                "size": 10**7,
                "unsent": [10**7 - n * 300 for n in range(MINUTES)],
                "taken": [0] * MINUTES,
                "has_head": False,
            },
            None,
        ),
        # a store that keeps the line open with blanks while it puts an object together; not forever
        (
            {
                "size": 300,
                "unsent": [0] * 899,
                "taken": [n // 10 for n in range(899)],
                "has_head": True,
                "is_slow": True,
            },
            None,
        ),
        (
            {
                "size": 300,
                "unsent": [0] * HOURS,
                "taken": [n // 10 for n in range(HOURS)],
                "has_head": True,
                "is_slow": True,
            },
            "901: did not end its answer within 900 s",
        ),
    ],
    ids=itertools.count(),
)
def test_what_does_not_move_is_given_up(exchange: dict[str, object], complaint: str | None) -> None:
    """Silence, a drip in either direction and an endless head are told apart; a slow line is waited for."""
    assert judged(**exchange) == complaint  # type: ignore[arg-type]


async def drip(peer: Peer, *, first: bytes, piece: bytes) -> None:
    await peer.request()
    await peer.send(first)
    while True:
        await peer.send(piece)
        await asyncio.sleep(0.1)


def dripping(first: bytes, piece: bytes) -> Handler:
    return lambda peer: drip(peer, first=first, piece=piece)


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"", b"H"),
        (HEAD, b"a"),
        (HEAD, b"a: b\r\n"),
        (HEAD + b"content-length: 60000\r\n\r\n", b"x"),
        (HEAD + b"content-length: 6000000\r\n\r\n", b"x"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n1", b";a"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    ],
    ids=ascii,
)
def test_an_answer_that_drips_is_given_up(first: bytes, piece: bytes) -> None:
    """Wherever in an answer it begins to drip: the request fails soon, though it was never silent."""

    async def main() -> None:
        async with serving(dripping(first, piece)) as server:
            pool = HttpPool(server.origin, timeouts=Timeouts(idle=0.6))
            with pytest.raises(Transient, match=r"moved only|did not end the head|did not answer in HTTP"):
                await asyncio.wait_for(pool.request("GET", "/x", [], most=10_000_000), 20)
            assert not pool._idle
            await pool.close()

    asyncio.run(main())


def test_an_upload_that_is_taken_in_drips_is_given_up() -> None:
    """A peer that reads a few bytes now and then is not waited for; a slow but steady one is."""

    async def sip(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    async def main() -> None:
        async with serving(sip) as server:
            pool = HttpPool(server.origin, timeouts=Timeouts(idle=0.4))
            with pytest.raises(Transient, match=r"moved only|was silent"):
                await asyncio.wait_for(pool.request("PUT", "/x", [], bytes(64 << 20)), 20)
            await pool.close()

    asyncio.run(main())


def test_an_answer_may_drip_where_that_is_usual() -> None:
    """CompleteMultipartUpload begins with 200, then a blank now and then until the object is put together."""

    async def blanks(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(15):
            await peer.send(b"1\r\n \r\n")
            await asyncio.sleep(0.1)
        await peer.send(b"2\r\nok\r\n0\r\n\r\n")

    async def main() -> None:
        async with serving(blanks) as server:
            pool = HttpPool(server.origin, timeouts=Timeouts(idle=0.5))
            answer = await pool.request("POST", "/x", [], is_slow=True)
            assert bytes(answer.body) == b" " * 15 + b"ok"
            await pool.close()

    asyncio.run(main())

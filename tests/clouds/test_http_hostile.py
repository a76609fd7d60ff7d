"""Answers that are hostile or broken cost an error that says what is wrong, never memory, and are never used."""

from __future__ import annotations

import asyncio
from itertools import repeat
from pathlib import Path

import pytest

from keepstep.clouds.http import HttpPool, Response, Timeouts
from keepstep.errors import Error, Transient
from tests.clouds.wire import OK, Authority, Handler, Peer, answering, serving

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def ask(handler: Handler, method: str = "GET", times: int = 1, **more: object) -> list[Response]:
    async def main() -> list[Response]:
        async with serving(handler) as server:
            pool = HttpPool(server.origin, timeouts=Timeouts(idle=10))
            try:
                work = [await pool.request(method, "/x", [], **more) for _ in range(times)]  # type: ignore[arg-type]
            finally:
                await asyncio.sleep(0)  # a connection that is given up ends in the next turn of the loop
                assert pool._all == set(pool._idle)
                await pool.close()
            return work

    return asyncio.run(asyncio.wait_for(main(), 30))


def pouring(first: bytes, piece: bytes) -> Handler:
    """Sends ``piece`` for as long as anybody takes it."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(first)
        for more in repeat(piece):
            await peer.send(more)

    return handler


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"HTTP/1.1 200 ", b"O" * 9000),
        (HEAD, b"x-a: b\r\n" * 999),
        (HEAD, b"".join(b"x-%d: b\r\n" % n for n in range(999))),
        (HEAD + b"x-long: ", b"v" * 9000),
        (HEAD, b"n" * 9000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: " + b"a" * 3000 + b"\r\n\r\n"),
        (CHUNKED + b"1;", b"ext=" + b"e" * 9000),
        (CHUNKED, b"1;" + b"e" * 500 + b"\r\nx\r\n"),
        (CHUNKED, b"0" * 9000),
        (CHUNKED + b"1\r\nx\r\n0\r\n", b"trailer: t\r\n" * 999),
        (HEAD + b"\r\n", b"no length, no end" * 99),
    ],
    ids=lambda value: ascii(value[:40]),
)
def test_what_has_no_end_is_given_up(first: bytes, piece: bytes) -> None:
    """Status lines, headers, interim answers, chunk extensions, trailers: each has a limit of bytes or of count."""
    with pytest.raises(Error, match=r"around the body|interim answers|did not answer in HTTP|more than the"):
        ask(pouring(first, piece), most=1_000_000)


def test_tiny_chunks_are_slow_and_right() -> None:
    """They cost more framing than contents, and no more memory than other answers; without end they are refused."""
    answer = CHUNKED + b"3\r\nxyz\r\n" * 50_000 + b"0\r\n\r\n"
    assert bytes(ask(answering(answer))[0].body) == b"xyz" * 50_000
    with pytest.raises(Transient, match="around the body"):
        ask(pouring(CHUNKED, b"1\r\nx\r\n" * 999))


def test_trailers_change_no_header() -> None:
    """What comes after the body is not taken for what was said before it, nor added to it."""
    trailers = b"etag: evil\r\ncontent-range: bytes 0-1/2\r\nx-amz-meta-a: evil\r\nx-new: 1\r\n"
    answer = HEAD + b"etag: good\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + trailers + b"\r\n"
    for response in ask(answering(answer), times=2):
        assert response.headers == {"etag": "good", "transfer-encoding": "chunked"}
        assert response.body == b"ok"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (HEAD + b'etag: "a"\r\netag: "b"\r\ncontent-length: 2\r\n\r\nok', "header etag twice"),
        (
            HEAD + b"content-range: bytes 0-1/9\r\ncontent-range: bytes 2-3/9\r\ncontent-length: 2\r\n\r\nok",
            "twice",
        ),
        (
            HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "transfer encoding 'gzip, chunked'",
        ),
        (HEAD + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "twice"),
        (CHUNKED[:-2] + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "transfer-encoding twice"),
        (HEAD + b"transfer-encoding: rot13\r\n\r\nbx", "did not answer in HTTP|transfer encoding 'rot13'"),
        (HEAD + b"transfer-encoding: chunked, identity\r\n\r\nok", "did not answer in HTTP|transfer encoding"),
        (HEAD + b'etag: "\xff\xfe"\r\ncontent-length: 2\r\n\r\nok', "header etag in another encoding than UTF-8"),
        (HEAD + b"x-amz-version-id: \xe9\r\ncontent-length: 2\r\n\r\nok", "x-amz-version-id in another encoding"),
        (HEAD + b"content-length: +2\r\n\r\nok", "did not answer in HTTP"),
        (HEAD + b"content-length: 2, 2\r\n\r\nok", "did not answer in HTTP"),
        (HEAD + b"content-length: 0x2\r\n\r\nok", "did not answer in HTTP"),
        (HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok", "did not answer in HTTP"),
        (
            HEAD + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "did not answer in",
        ),
        (HEAD + b"a: b\r\n  folded\r\ncontent-length: 2\r\n\r\nok", "did not answer in HTTP"),
        (HEAD + b"a : b\r\ncontent-length: 2\r\n\r\nok", "did not answer in HTTP"),
        (CHUNKED + b"2\r\nok\r\n0\r\ncontent-length: 9\r\n\r\n", "did not answer in HTTP"),
        (CHUNKED + b"-2\r\nok\r\n0\r\n\r\n", "did not answer in HTTP"),
        (CHUNKED + b"ffffffffffffffffff\r\nok\r\n0\r\n\r\n", "did not answer in HTTP"),
        (CHUNKED + b"2\r\nokay\r\n0\r\n\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nupgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\nok", ""),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_what_can_be_read_in_two_ways_is_not_read(answer: bytes, message: str) -> None:
    """Contradictions, unknown encodings and repeated headers that differ are named, and nothing of them is used."""
    if not message:
        assert ask(answering(answer))[0].body == b"ok"
        return
    with pytest.raises(Transient, match=message):
        ask(answering(answer))


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "x" * 500])
def test_documents_are_not_compressed(coding: str) -> None:
    """A document that is compressed although it was not to be is named; an object is stored as it may be."""
    raw = HEAD + f"content-encoding: {coding}\r\ncontent-length: 2\r\n\r\nok".encode()
    with pytest.raises(Transient, match="answered in the encoding '"):
        ask(answering(raw))
    assert ask(answering(raw), most=10)[0].body == b"ok"
    assert ask(answering(raw), "HEAD")[0].headers["content-encoding"] == coding


def test_metadata_is_bytes() -> None:
    """What users stored next to an object comes as it is, in whatever encoding; so do headers that nobody reads."""
    raw = HEAD + b"x-amz-meta-a: caf\xe9\r\nserver: \xff\r\ncontent-type: a/\xff\r\ncontent-length: 0\r\n\r\n"
    headers = ask(answering(raw))[0].headers
    assert headers["x-amz-meta-a"].encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_success_before_the_request_was_sent_is_not_believed() -> None:
    """Who has not read the object cannot have stored it."""

    async def eager(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        await asyncio.sleep(20)

    with pytest.raises(Transient, match="reported success before the request was sent"):
        ask(eager, "PUT", body=bytes(64 << 20))


def test_an_answer_that_was_there_before_the_request_is_nobodys() -> None:
    """Bytes that wait on an idle connection are not taken for the answer to the next request."""

    async def talkative(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(HEAD + b"content-length: 2\r\n\r\nok")
            await peer.send(HEAD + b"content-length: 4\r\n\r\nevil")

    async def main() -> None:
        async with serving(talkative) as server:
            pool = HttpPool(server.origin)
            for _ in range(20):
                assert (await pool.request("GET", "/x", [])).body == b"ok"
                # The stray answer arrives, and nobody has looked at it yet when the connection is wanted again.
                for connection in pool._idle:
                    for _ in range(1000):
                        if not connection.is_quiet:
                            break
            await pool.close()

    asyncio.run(main())


def test_a_bomb_in_an_answer_to_head_is_no_body() -> None:
    """A body that must not be there is not read, and its connection is not used again."""
    answer = HEAD + b"content-length: 2\r\n\r\nok"
    assert [bytes(response.body) for response in ask(answering(answer), "HEAD", times=3)] == [b""] * 3


def test_a_common_name_proves_nothing(tmp_path: Path) -> None:
    """Only a subject alternative name is a name (RFC 9525)."""
    authority = Authority(tmp_path)

    async def main() -> None:
        tls = authority.server_context("localhost", has_alternative=False)
        async with serving(answering(OK), tls=tls) as server:
            pool = HttpPool(server.origin, ca_bundle=str(authority.bundle))
            with pytest.raises(Error, match="could not prove its name"):
                await pool.request("GET", "/x", [])
            assert server.requests == []
            await pool.close()

    asyncio.run(main())

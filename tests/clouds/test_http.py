"""The HTTP client on real connections: what it reuses, what it believes, and how it fails."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import tracemalloc
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from keepstep.clouds.http import USER_AGENT, HttpPool, Response, Timeouts, TooLarge
from keepstep.errors import ConfigError, Error, Transient
from tests.clouds.wire import OK, Authority, Handler, Peer, Server, answering, serving

Run = Callable[[Coroutine[Any, Any, Any]], Any]
HEADERS = [("host", "localhost"), ("x-test", "1")]
MIB = 1024 * 1024


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine to its end, within 30 seconds, and lets nothing go unnoticed."""

    def run_it(work: Coroutine[Any, Any, Any]) -> Any:
        troubles: list[Any] = []
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.get_loop().set_exception_handler(lambda loop, context: troubles.append(context))
            result = runner.run(asyncio.wait_for(work, 30))
            gc.collect(0)
        assert troubles == []
        return result

    return run_it


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


async def use(
    handler: Handler, work: Callable[[HttpPool, Server], Coroutine[Any, Any, Any]], **options: Any
) -> Any:
    """Runs ``work(pool, server)`` against a server."""
    tls, ca = options.pop("tls", None), options.pop("ca", None)
    async with serving(handler, tls=tls) as server:
        pool = HttpPool(server.origin, ca_bundle=str(ca) if ca else None, timeouts=Timeouts(**options))
        try:
            return await work(pool, server)
        finally:
            await pool.close()


async def get(pool: HttpPool, method: str = "GET", target: str = "/x", **more: Any) -> Response:
    return await pool.request(method, target, HEADERS, **more)


# connections


def test_a_connection_is_reused(run: Run) -> None:
    """Requests that follow each other need one connection; what is sent and received is counted."""

    async def work(pool: HttpPool, server: Server) -> None:
        for n in range(5):
            response = await get(pool, "PUT", f"/{n}?a=b%20c", body=b"12345")
            assert (response.status, response.body, response.headers) == (200, b"ok", {"content-length": "2"})
        await get(pool)
        assert server.connections == 1
        assert [request.line for request in server.requests[:2]] == [
            "PUT /0?a=b%20c HTTP/1.1",
            "PUT /1?a=b%20c HTTP/1.1",
        ]
        always = {"user-agent": USER_AGENT, "accept-encoding": "identity"}
        named = {**always, "host": "localhost", "x-test": "1", "content-length": "5"}
        assert server.requests[0].headers == named
        assert "content-length" not in server.requests[5].headers
        traffic = pool.traffic
        assert (dict(traffic.requests), traffic.sent, traffic.received) == ({"PUT": 5, "GET": 1}, 25, 12)

    run(use(answering(OK), work))


def test_a_thousand_requests_at_once(run: Run) -> None:
    """Each gets its own answer, on as many connections as it takes, which then serve the next thousand."""

    async def echo(peer: Peer) -> None:
        while True:
            body = (await peer.request()).line.split()[1].encode()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    async def work(pool: HttpPool, server: Server) -> None:
        for _ in range(2):
            answers = await asyncio.gather(*(get(pool, target=f"/{n}") for n in range(1000)))
            assert [answer.body for answer in answers] == [f"/{n}".encode() for n in range(1000)]
        assert server.connections <= 1000

    soft, hard = _raise_limit(4096)
    try:
        run(use(echo, work))
    finally:
        _raise_limit(soft, hard)


def _raise_limit(soft: int, hard: int | None = None) -> tuple[int, int]:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, before[0]), before[1]), hard or before[1]))
    return before


@pytest.mark.parametrize("wait", [0.0, 0.05])
def test_a_connection_that_the_server_closed_while_it_was_idle_is_replaced(run: Run, wait: float) -> None:
    """Also when the closing is noticed only once the next request has been sent."""

    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)

    async def work(pool: HttpPool, server: Server) -> None:
        for _ in range(5):
            assert (await get(pool, "PUT", body=b"x" * 200_000)).status == 200
            await asyncio.sleep(wait)
        assert server.connections == 5

    run(use(once, work))


@pytest.mark.parametrize("last", [b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", OK])
def test_a_connection_that_is_to_be_closed_is_not_reused(run: Run, last: bytes) -> None:
    """A server that says so, and one that speaks HTTP/1.0, gets a new connection for the next request."""
    old = last.replace(b"HTTP/1.1", b"HTTP/1.0")

    async def work(pool: HttpPool, server: Server) -> None:
        for _ in range(3):
            assert (await get(pool)).body == b"ok"
        assert server.connections == 3

    run(use(answering(old), work))


def test_idle_connections_are_closed_in_the_end(run: Run) -> None:
    """After the time to keep them, the server sees them go; the next request makes a new one."""

    async def work(pool: HttpPool, server: Server) -> None:
        await get(pool)
        await asyncio.sleep(0.5)
        assert not pool._all
        await get(pool)
        assert server.connections == 2

    run(use(answering(OK), work, keep=0.2))


def test_what_comes_unasked_is_not_believed(run: Run) -> None:
    """Bytes on an idle connection, or behind an answer, are nobody's answer: the connection is given up."""
    late = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"

    async def handler(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.send(OK + late)
        else:
            await peer.send(OK)
            await asyncio.sleep(0.02)
            await peer.send(late)
        await asyncio.sleep(5)

    async def work(pool: HttpPool, server: Server) -> None:
        for _ in range(3):
            response = await get(pool)
            assert (response.status, response.body) == (200, b"ok")
            await asyncio.sleep(0.05)
        assert server.connections == 3

    run(use(handler, work))


def test_cancelled_requests_leave_no_broken_connection(run: Run) -> None:
    """Whenever a request is cancelled, the next ones get their own answers."""

    async def slow(peer: Peer) -> None:
        while True:
            name = (await peer.request()).line.split()[1].encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(name) * 3)
            for piece in (head, name, name, name):
                await asyncio.sleep(0.001)
                await peer.send(piece)

    async def work(pool: HttpPool, server: Server) -> None:
        for n in range(40):
            task = asyncio.create_task(get(pool, target=f"/cancelled{n}"))
            await asyncio.sleep(0.0003 * (n % 20))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert (await get(pool, target=f"/{n}")).body == f"/{n}".encode() * 3

    run(use(slow, work))


def test_closing_ends_what_is_under_way(run: Run) -> None:
    """Requests under way fail, later ones are refused, and no connection stays."""

    async def silent(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(60)

    async def work(pool: HttpPool, server: Server) -> None:
        tasks = [asyncio.create_task(get(pool)) for _ in range(3)]
        while len(server.requests) < 3:
            await asyncio.sleep(0.001)
        await pool.close()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, Transient)
        with pytest.raises(Transient, match="have been closed"):
            await get(pool)
        assert not pool._all

    run(use(silent, work))


# answers

BIG = bytes(range(256)) * 20_000

ANSWERS: dict[str, tuple[str, bytes, int, bytes]] = {
    "a length": ("GET", OK, 200, b"ok"),
    "no body": ("PUT", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
    "chunks": (
        "GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;x=y\r\n!\r\n0\r\n\r\n",
        200,
        b"ok!",
    ),
    "chunks and a trailer": (
        "GET",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n",
        200,
        b"ok",
    ),
    "the answer to HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n", 200, b""),
    "204": ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "304 with a length": ("GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 99999\r\n\r\n", 304, b""),
    "100 first": ("PUT", b"HTTP/1.1 100 Continue\r\nx-a: 1\r\n\r\n" + OK, 200, b"ok"),
    "103 twice first": ("GET", b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" * 2 + OK, 200, b"ok"),
    "a large body": ("GET", b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BIG) + BIG, 200, BIG),
    "an error": ("GET", b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone", 404, b"gone"),
}


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_answers_of_every_shape(run: Run, answer: tuple[str, bytes, int, bytes], size: int) -> None:
    """However an answer is framed, and in however small pieces it comes, it is whole; the connection lives on."""
    method, raw, status, body = answer
    if size == 1 and len(raw) > 1000:
        size = 10_000

    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            for at in range(0, len(raw), size):
                await peer.send(raw[at : at + size])
                await asyncio.sleep(0)

    async def work(pool: HttpPool, server: Server) -> None:
        for _ in range(2):
            response = await get(pool, method, body=b"data" if method == "PUT" else b"")
            assert (response.status, bytes(response.body)) == (status, body)
            assert "x-a" not in response.headers
        assert server.connections == 1

    run(use(handler, work))


def test_header_names_are_lower_case_and_the_last_counts(run: Run) -> None:
    """Names come in lower case, values as UTF-8 where they are, and of a repeated header the last one."""
    raw = 'HTTP/1.1 200 OK\r\nETag: "a"\r\nX-Meta: ü\r\nx-meta: ö\r\ncontent-length: 0\r\n\r\n'.encode()

    async def work(pool: HttpPool, server: Server) -> None:
        assert (await get(pool)).headers == {"etag": '"a"', "x-meta": "ö", "content-length": "0"}

    run(use(answering(raw), work))


def test_an_error_without_a_length_ends_with_the_connection(run: Run) -> None:
    """A refusal is read to the end of the connection; a success is not believed without its length."""
    refusal = b"HTTP/1.0 403 Forbidden\r\ncontent-type: text/plain\r\n\r\nnot from here"

    async def once(peer: Peer) -> None:
        target = (await peer.request()).line.split()[1]
        await peer.send(refusal if target == "/refused" else refusal.replace(b"403 Forbidden", b"200 OK"))

    async def work(pool: HttpPool, server: Server) -> None:
        response = await get(pool, target="/refused")
        assert (response.status, response.body) == (403, b"not from here")
        with pytest.raises(Transient, match="cut the connection in the middle"):
            await get(pool)

    run(use(once, work))


CUTS = {
    "before the answer": (b"", "closed the connection without an answer"),
    "in the status line": (b"HTTP/1.", "in the middle of an answer"),
    "in the head": (b"HTTP/1.1 200 OK\r\ncontent-le", "in the middle of an answer"),
    "before the body": (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", "in the middle of an answer"),
    "in the body": (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1234", "in the middle of an answer"),
    "in a large body": (b"HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n" + bytes(500_000), "in the middle"),
    "in a chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n123", "in the middle of an answer"),
    "before the last chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", "in the middle"),
    "in an error": (b"HTTP/1.1 503 Slow\r\ncontent-length: 9\r\n\r\n1234", "in the middle of an answer"),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n", "in the middle of an answer"),
}


@pytest.mark.parametrize("is_rude", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_cut_answer_is_never_a_short_one(run: Run, cut: tuple[bytes, str], is_rude: bool) -> None:
    """Wherever the connection ends before the answer does, that is a passing fault."""
    raw, message = cut

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(raw)
        if is_rude:
            await asyncio.sleep(0.02)
            peer.cut()

    async def work(pool: HttpPool, server: Server) -> None:
        with pytest.raises(Transient, match=message):
            await get(pool)
        assert not pool._idle

    run(use(handler, work))


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        bytes(5000),
    ],
    ids=lambda value: ascii(value[:40]),
)
def test_garbage_is_a_passing_fault(run: Run, garbage: bytes) -> None:
    """What is not HTTP, or HTTP that contradicts itself, is refused as a whole."""

    async def work(pool: HttpPool, server: Server) -> None:
        with pytest.raises(Transient):
            await get(pool)
        assert not pool._idle

    run(use(answering(garbage), work, idle=3))


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"3e8\r\n" + bytes(1000) + b"\r\n0\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + bytes(1000)


@pytest.mark.parametrize("answer", [CHUNKED, SIZED], ids=["chunked", "sized"])
def test_an_answer_is_never_larger_than_the_caller_can_take(run: Run, answer: bytes) -> None:
    """Exactly the limit is taken, one byte more is refused, and the next request is none the worse."""

    async def work(pool: HttpPool, server: Server) -> None:
        assert len((await get(pool, most=1000)).body) == 1000
        with pytest.raises(TooLarge, match="more than the 999 bytes"):
            await get(pool, most=999)
        assert len((await get(pool, most=1000)).body) == 1000

    run(use(answering(answer), work))


def test_the_limit_is_for_successes(run: Run) -> None:
    """A refusal with more words than the object has bytes is still a refusal; one without end is not read."""
    refusal = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 300\r\n\r\n" + b"x" * 300
    endless = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 999999999\r\n\r\n"

    async def work(pool: HttpPool, server: Server) -> None:
        response = await get(pool, most=10)
        assert (response.status, len(response.body)) == (503, 300)
        with pytest.raises(TooLarge):
            await get(pool, most=10)

    run(use(answering(refusal, endless), work))


def test_a_claim_of_a_huge_body_needs_no_memory(run: Run) -> None:
    """Without a limit of the caller's, an answer that claims terabytes is refused before it is made room for."""

    async def work(pool: HttpPool, server: Server) -> None:
        with pytest.raises(TooLarge):
            await get(pool)

    run(use(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999999\r\n\r\n"), work))


# uploads


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1_000_000, 5_000_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bodies_of_any_size_arrive(run: Run, size: int, kind: type) -> None:
    """Bytes, byte arrays and views of them, small and large, arrive as they are."""
    data = (bytes(range(251)) * (size // 251 + 1))[:size]

    async def work(pool: HttpPool, server: Server) -> None:
        await get(pool, "PUT", body=kind(data))
        await get(pool, "PUT", body=kind(data))
        assert [request.body for request in server.requests] == [data, data]
        assert server.connections == 1

    run(use(answering(OK), work))


@pytest.mark.parametrize("ending", ["stops reading", "closes", "reads on"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["http", "https"])
def test_an_answer_before_the_body_is_sent(run: Run, authority: Authority, ending: str, is_tls: bool) -> None:
    """An early refusal of 50 MB is heard at once, the rest is not sent, and the connection is given up."""
    refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"
    received = 0

    async def early(peer: Peer) -> None:
        nonlocal received
        await peer.head()
        if peer.number > 1:
            await peer.send(OK)
            return
        received += len(await peer.reader.readexactly(100_000))
        await peer.send(refusal)
        if ending == "stops reading":
            await asyncio.sleep(20)
        while ending == "reads on" and (data := await peer.reader.read(1 << 20)):
            received += len(data)
        # Half-closed, so that the refusal is not lost to the reset that unread bytes bring about.
        if not is_tls and ending == "closes":
            peer.writer.write_eof()
            await asyncio.sleep(1)

    async def work(pool: HttpPool, server: Server) -> None:
        response = await asyncio.wait_for(get(pool, "PUT", body=bytes(50 * MIB)), 10)
        assert (response.status, response.body) == (403, b"no")
        assert not pool._idle
        assert (await get(pool)).status == 200
        assert received < 50 * MIB

    tls = authority.server_context("localhost") if is_tls else None
    run(use(early, work, tls=tls, ca=authority.bundle if is_tls else None))


@pytest.mark.parametrize("is_tls", [False, True], ids=["http", "https"])
def test_a_slow_upload_is_no_silence(run: Run, authority: Authority, is_tls: bool) -> None:
    """As long as the other side takes bytes, however slowly, the request goes on for longer than a silence may."""

    async def slow(peer: Peer) -> None:
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        request = await peer.head()
        left = int(request.headers["content-length"])
        while left:
            data = await peer.reader.read(64_000)
            left -= len(data)
            await asyncio.sleep(0.02)
        await peer.send(OK)

    async def work(pool: HttpPool, server: Server) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        assert (await get(pool, "PUT", body=bytes(5 * MIB))).status == 200
        assert loop.time() - start > 1

    tls = authority.server_context("localhost") if is_tls else None
    run(use(slow, work, idle=0.5, tls=tls, ca=authority.bundle if is_tls else None))


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\n", OK[:-1], OK[:-2].replace(b": 2", b": 90000") + bytes(50)], ids=len
)
def test_silence_times_out(run: Run, sent: bytes) -> None:
    """A server that says nothing more, before its answer or in it, is given up after the time for that."""

    async def silent(peer: Peer) -> None:
        await peer.request()
        await peer.send(sent)
        await asyncio.sleep(20)

    async def work(pool: HttpPool, server: Server) -> None:
        start = asyncio.get_running_loop().time()
        with pytest.raises(Transient, match=r"was silent for 0\.3 s"):
            await get(pool)
        assert asyncio.get_running_loop().time() - start < 3
        assert not pool._idle

    run(use(silent, work, idle=0.3))


def test_a_server_that_takes_nothing_times_out(run: Run) -> None:
    """An upload that does not move is given up like any other silence."""

    async def deaf(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(20)

    async def work(pool: HttpPool, server: Server) -> None:
        with pytest.raises(Transient, match="was silent"):
            await get(pool, "PUT", body=bytes(50 * MIB))

    run(use(deaf, work, idle=0.5))


def test_large_bodies_are_not_copied(run: Run) -> None:
    """Receiving 32 MiB needs that much and little more; sending them needs next to nothing."""
    size = 32 * MIB
    piece = bytes(MIB)

    async def handler(peer: Peer) -> None:
        while True:
            request = await peer.head()
            left = int(request.headers.get("content-length", "0"))
            while left:
                left -= len(await peer.reader.read(min(left, 65_536)))
            answer = 0 if request.line.startswith("PUT") else size
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % answer)
            for _ in range(answer // MIB):
                await peer.send(piece)

    async def work(pool: HttpPool, server: Server) -> None:
        body = bytearray(size)
        await get(pool, "PUT", body=b"")
        tracemalloc.start()
        try:
            await get(pool, "PUT", body=memoryview(body))
            sending = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            response = await get(pool)
            receiving = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert len(response.body) == size
        assert sending < 4 * MIB
        assert size <= receiving < size + 4 * MIB

    run(use(handler, work))


# names and ways


def test_tls_is_verified_to_the_name(run: Run, authority: Authority) -> None:
    """A server that proves its name is spoken to, on one connection for many requests."""

    async def work(pool: HttpPool, server: Server) -> None:
        for _ in range(3):
            assert (await get(pool, "PUT", body=bytes(200_000))).body == b"ok"
        assert server.connections == 1

    run(use(answering(OK), work, tls=authority.server_context("localhost"), ca=authority.bundle))


@pytest.mark.parametrize("case", ["another name", "another authority", "no authority"])
def test_a_server_that_cannot_prove_its_name_gets_nothing(
    run: Run, authority: Authority, tmp_path: Path, case: str
) -> None:
    """Wrong name or unknown CA: a matter of settings, with a hint, and no request is sent."""
    stranger = Authority(tmp_path)
    tls = (stranger if case == "another authority" else authority).server_context(
        "elsewhere.example" if case == "another name" else "localhost"
    )

    async def work(pool: HttpPool, server: Server) -> None:
        with pytest.raises(ConfigError, match="could not prove its name") as caught:
            await get(pool)
        assert caught.value.hint
        assert server.requests == []
        assert not pool._all

    run(use(answering(OK), work, tls=tls, ca=None if case == "no authority" else authority.bundle))


@pytest.mark.parametrize("contents", [None, b"", b"no certificate"])
def test_a_bundle_that_holds_no_certificates_is_a_mistake(tmp_path: Path, contents: bytes | None) -> None:
    """A CA file that is missing or is none is named."""
    bundle = tmp_path / "ca.pem"
    if contents is not None:
        bundle.write_bytes(contents)
    with pytest.raises(ConfigError, match="cannot read the CA file"):
        HttpPool("https://localhost", ca_bundle=str(bundle))


@pytest.mark.parametrize("says", [OK, b""])
def test_tls_where_there_is_none(run: Run, authority: Authority, says: bytes) -> None:
    """A server that does not speak TLS where it was expected, or hangs up, is a fault of the wire."""

    async def plain(peer: Peer) -> None:
        await peer.reader.read(10)
        await peer.send(says)

    async def main() -> None:
        async with serving(plain) as server:
            pool = HttpPool(server.origin.replace("http", "https"), ca_bundle=str(authority.bundle))
            with pytest.raises(Transient, match="cannot connect"):
                await asyncio.wait_for(get(pool), 10)
            assert not pool._all
            await pool.close()

    run(main())


def test_nobody_there(run: Run) -> None:
    """A port where nobody listens, and a name that nobody has, are faults that may pass."""

    async def main() -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            for origin in (f"http://127.0.0.1:{held.getsockname()[1]}", "http://no-such-host.invalid:1"):
                pool = HttpPool(origin)
                with pytest.raises(Transient, match="cannot connect"):
                    await get(pool)
                assert not pool._all
                await pool.close()

    run(main())


def test_a_connection_that_takes_too_long(run: Run) -> None:
    """Somebody who does not answer the connection is given up after the time for that."""

    async def main() -> None:
        with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            for waiting in (first, second):  # its queue is full now
                waiting.setblocking(False)
                waiting.connect_ex(deaf.getsockname())
            pool = HttpPool(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeouts=Timeouts(connect=0.2))
            with pytest.raises(Transient, match=r"no connection to .* within"):
                await get(pool)
            assert not pool._all
            await pool.close()

    run(main())


@pytest.mark.parametrize(
    "origin",
    [
        "ftp://host",
        "host:80",
        "",
        "http://",
        "https://:443",
        "http://host:99999",
        "http://user:hush@:1",
        "http://h:x",
    ],
)
def test_what_is_no_origin_is_a_mistake(origin: str) -> None:
    """It is named, without the password that may stand in it."""
    with pytest.raises(ConfigError, match="not an http") as caught:
        HttpPool(origin)
    assert "hush" not in caught.value.message


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/x", [("a", "1\r\nb: 2")]),
        ("/x", [("a", "1\nb: 2")]),
        ("/x", [("a", "1\r")]),
        ("/x", [("a\r\nb", "1")]),
        ("/x", [("a", "1\0")]),
        ("/x HTTP/1.1\r\na: b\r\n\r\n", []),
        ("/x y", []),
        ("/x\n", []),
        ("/x\0", []),
    ],
    ids=ascii,
)
def test_nothing_can_be_smuggled_into_a_request(run: Run, target: str, headers: list[tuple[str, str]]) -> None:
    """Line breaks and blanks that would begin a header or a request of their own are refused unsent."""

    async def work(pool: HttpPool, server: Server) -> None:
        with pytest.raises(ConfigError, match="line break or a blank"):
            await pool.request("GET", target, headers)
        assert server.connections == 0

    run(use(answering(OK), work))


# proxies

NAME = "store.example"
"""Of a server that only the proxy knows: what is on this machine would be asked directly."""


async def proxy(peer: Peer, *, wants: str | None = None, says: bytes = b"HTTP/1.1 200 Connected\r\n\r\n") -> None:
    """Makes tunnels; answers other requests itself."""
    request = await peer.request()
    if wants and request.headers.get("proxy-authorization") != wants:
        await peer.send(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n")
    elif request.line.startswith("CONNECT ") and says.endswith(b" Connected\r\n\r\n"):
        host, _, port = request.line.split()[1].rpartition(":")
        upstream = await asyncio.open_connection("127.0.0.1" if host == NAME else host, int(port))
        await peer.send(says)
        await asyncio.gather(_pipe(peer.reader, upstream[1]), _pipe(upstream[0], peer.writer))
    else:
        await peer.send(says if request.line.startswith("CONNECT ") else OK)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.mark.parametrize("user", ["", "us%40er:p%3Aw@"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["http", "https"])
def test_requests_go_through_the_proxy(
    run: Run, authority: Authority, monkeypatch: pytest.MonkeyPatch, is_tls: bool, user: str
) -> None:
    """http asks the proxy itself, https goes through a tunnel and is verified to the origin; a user is named."""
    wants = "Basic dXNAZXI6cDp3" if user else None  # us@er:p:w

    async def main() -> None:
        tls = authority.server_context(NAME) if is_tls else None
        async with serving(lambda peer: proxy(peer, wants=wants)) as way, serving(answering(OK), tls=tls) as server:
            monkeypatch.setenv(f"{server.scheme}_proxy", f"http://{user}127.0.0.1:{way.port}")
            origin = f"{server.scheme}://{NAME}:{server.port}"
            pool = HttpPool(origin, ca_bundle=str(authority.bundle))
            assert (await get(pool, "PUT", body=bytes(300_000))).body == b"ok"
            if is_tls:
                assert (await get(pool)).body == b"ok"
                assert [r.line for r in way.requests] == [f"CONNECT {NAME}:{server.port} HTTP/1.1"]
                assert [r.line for r in server.requests] == ["PUT /x HTTP/1.1", "GET /x HTTP/1.1"]
                assert "proxy-authorization" not in server.requests[0].headers
            else:
                assert [r.line for r in way.requests] == [f"PUT {origin}/x HTTP/1.1"]
            assert way.connections == 1
            await pool.close()

    run(main())


@pytest.mark.parametrize(
    ("says", "error", "message"),
    [
        (b"HTTP/1.1 407 Who are you\r\ncontent-length: 3\r\n\r\nwho", ConfigError, "answered 407 to CONNECT"),
        (b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n", ConfigError, "answered 403 to CONNECT"),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", Transient, "answered 502 to CONNECT"),
        (b"", Transient, "closed the connection without an answer"),
        (b"SSH-2.0\r\n", Transient, "did not answer in HTTP"),
        (b"HTTP/1.1 200 Connected\r\n\r\n\x16\x03\x03", Transient, "sent more than its answer to CONNECT"),
        (
            b"HTTP/1.1 302 Login\r\nlocation: http://portal\r\ncontent-length: 0\r\n\r\n",
            ConfigError,
            "answered 302",
        ),
        (b"HTTP/1.1 " + b"100 Continue\r\n\r\nHTTP/1.1 " * 99 + b"200 OK\r\n\r\n", Transient, "interim answers"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000, Transient, "around the body"),
    ],
)
def test_a_proxy_that_refuses(
    run: Run, monkeypatch: pytest.MonkeyPatch, says: bytes, error: type[Error], message: str
) -> None:
    """A refusal is a matter of settings, trouble of the proxy's own may pass; no connection is left open."""

    async def main() -> None:
        async with serving(lambda peer: proxy(peer, says=says)) as way:
            monkeypatch.setenv("https_proxy", f"http://name:hush@127.0.0.1:{way.port}")
            pool = HttpPool("https://example.invalid")
            with pytest.raises(error, match=message) as caught:
                await get(pool)
            assert "hush" not in str(caught.value) + str(caught.value.hint)
            assert not pool._all
            await pool.close()

    run(main())


def test_a_proxy_that_wants_a_password_is_told_from_the_store(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """407 to a request of plain http comes from the proxy, whatever the store would have said."""

    async def main() -> None:
        async with serving(lambda peer: proxy(peer, wants="Basic x")) as way:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{way.port}")
            pool = HttpPool(f"http://{NAME}")
            with pytest.raises(ConfigError, match=rf"the proxy 127\.0\.0\.1:{way.port} answered 407"):
                await get(pool)
            await pool.close()

    run(main())


def test_a_tunnel_to_the_wrong_server_is_noticed(
    run: Run, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is at the tunnel's other end must prove the origin's name."""

    async def main() -> None:
        tls = authority.server_context("elsewhere.example")
        async with serving(proxy) as way, serving(answering(OK), tls=tls) as server:
            monkeypatch.setenv("https_proxy", f"127.0.0.1:{way.port}")
            pool = HttpPool(f"https://{NAME}:{server.port}", ca_bundle=str(authority.bundle))
            with pytest.raises(ConfigError, match="could not prove its name"):
                await get(pool)
            assert server.requests == []
            assert not pool._all
            await pool.close()

    run(main())


@pytest.mark.parametrize("address", ["https://proxy", "socks5://proxy:1", "http://", "http://proxy:99999"])
def test_what_is_no_proxy_is_a_mistake(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """An address that is not an HTTP proxy's is not used in another way than it was meant."""
    monkeypatch.setenv("https_proxy", address)
    with pytest.raises(ConfigError, match="HTTPS_PROXY is not the address of an HTTP proxy"):
        HttpPool("https://example.com")


def test_a_proxy_keeps_its_password() -> None:
    """It is not shown where the proxy is."""
    from keepstep.clouds.http_proxy import Proxy

    assert "hush" not in repr(Proxy("h", 1, (("proxy-authorization", "hush"),)))


def test_tls_needs_version_1_2() -> None:
    """Older versions of TLS are not spoken."""
    pool = HttpPool("https://localhost")
    assert pool._tls is not None
    assert pool._tls.minimum_version == ssl.TLSVersion.TLSv1_2
    assert pool._tls.verify_mode == ssl.CERT_REQUIRED
    assert pool._tls.check_hostname

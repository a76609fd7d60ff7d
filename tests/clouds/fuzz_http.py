"""Answers cut and twisted at every offset, against the HTTP client: ``make fuzz-http``.

Each case is a connection that gets the bytes and ends. A case fails when the request hangs, when it raises anything
but an error of ours, or when it reports a success that a strict reader of the same bytes (below, by RFC 9112, with
nothing in common with the client) does not find in them. The process has little memory, so that what takes more
ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import resource
import socket
import struct
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, cast

import uvloop

from keepstep.clouds.http import HttpPool, Timeouts
from keepstep.errors import Error

MEMORY = 600 * 1024 * 1024
"""Bytes of address space besides what the interpreter has when it begins."""
MOST = 4 * 1024 * 1024
"""Bytes that the caller takes."""

HEAD = b"HTTP/1.1 200 OK\r\n"
LARGE = bytes(range(256)) * 160
BASES: dict[str, tuple[str, bytes]] = {
    "sized": ("GET", HEAD + b'etag: "a"\r\ncontent-length: 12\r\n\r\nhello, world'),
    "empty": ("PUT", HEAD + b"content-length: 0\r\n\r\n"),
    "chunked": (
        "GET",
        HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nx-sum: 1\r\n\r\n",
    ),
    "head": ("HEAD", HEAD + b"content-length: 999\r\nlast-modified: Mon, 30 Nov 2026 00:00:00 GMT\r\n\r\n"),
    "no content": ("DELETE", b"HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n"),
    "interim": (
        "PUT",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nlink: y\r\n\r\n" + HEAD + b"content-length: 2\r\n\r\nok",
    ),
    "refused": ("GET", b"HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nforbidden"),
    "old": ("GET", b"HTTP/1.0 404 Not Found\r\n\r\nuntil the end"),
    "range": ("GET", b"HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-1/9\r\ncontent-length: 2\r\n\r\nab"),
    "large": ("GET", HEAD + b"content-length: %d\r\n\r\n" % len(LARGE) + LARGE),
    "block": ("GET", HEAD + b"content-length: %d\r\n\r\n" % (len(LARGE) * 32) + LARGE * 32),
}
SMALL = [name for name, (_, raw) in BASES.items() if len(raw) < 1000]
BITS = [
    *(
        b"\0",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b":",
        b" ",
        b"\t",
        b",",
        b";",
        b"-",
        b"+",
        b"0",
        b"9",
        b"f",
        b"\xff",
    ),
    *(b"\xff", b"\xc3\xa9", b"999999999999", b"18446744073709551617", b"0\r\n\r\n", b" folded\r\n", b"x" * 5000),
    *(b"content-length: 1\r\n", b"content-length: 99999999999\r\n", b"transfer-encoding: chunked\r\n"),
    *(b"transfer-encoding: gzip\r\n", b"connection: close\r\n", b"upgrade: x\r\nconnection: upgrade\r\n"),
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
]


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    method: str
    raw: bytes
    is_rude: bool = False
    """The connection ends with a reset."""


def cuts() -> Iterator[Case]:
    """Every small answer, cut at every offset; large ones at some."""
    for name, (method, raw) in BASES.items():
        for at in range(0, len(raw) + 1, 1 if name in SMALL else max(1, len(raw) // 40)):
            yield Case(f"{name} cut at {at}", method, raw[:at], is_rude=at % 7 == 3)


def twists(count: int, seed: int) -> Iterator[Case]:
    """Bytes changed, left out, repeated, put in, and answers spliced; one to three times each."""
    chance = random.Random(seed)
    for number in range(count):
        name = chance.choice(SMALL if number % 20 else list(BASES))
        method, raw = BASES[name]
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            raw = twisted(raw, chance)
        yield Case(f"{name} twist {number} of seed {seed}", method, raw, is_rude=number % 50 == 7)


def twisted(raw: bytes, chance: random.Random) -> bytes:
    # The head is where the meaning is.
    at = chance.randrange(min(len(raw), 200) + 1)
    to = min(len(raw), at + chance.choice((1, 1, 2, 8, 40)))
    match chance.randrange(7):
        case 0:
            return raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]
        case 1:
            return raw[:at] + raw[to:]
        case 2:
            return raw[:to] + raw[at:to] + raw[to:]
        case 3:
            other = BASES[chance.choice(SMALL)][1]
            return raw[:at] + other[chance.randrange(len(other)) :]
        case 4:
            lines = raw.split(b"\r\n")
            line = chance.randrange(len(lines))
            return b"\r\n".join([*lines[:line], lines[line], chance.choice(lines), *lines[line + 1 :]])
        case _:
            return raw[:at] + chance.choice(BITS) + raw[at:]


# a strict reader

_STATUS = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: [^\r\n]*)?")
"""Nobody reads the reason phrase, so what is in it does not matter."""
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\t -~\x80-\xff]*)")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,16})[\t ]*(?:;[\t -~\x80-\xff]*)?")


class _Invalid(Exception):
    pass


def meaning(case: Case) -> tuple[int, bytes] | None:
    """Status and body, or None where the bytes are not a whole answer."""
    rest = case.raw
    try:
        while True:
            status, fields, rest = _head(rest)
            if status >= 200:
                return status, _body(case, status, fields, rest)
            if status == 101:
                return None
    except _Invalid:
        return None


def _line(rest: bytes) -> tuple[bytes, bytes]:
    line, found, rest = rest.partition(b"\r\n")
    if not found:
        raise _Invalid
    return line, rest


def _head(rest: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    line, rest = _line(rest.lstrip(b"\r\n"))
    found = _STATUS.fullmatch(line)
    if not found:
        raise _Invalid
    fields, rest = _fields(rest)
    return int(found[2]), fields, rest


def _fields(rest: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    fields: list[tuple[bytes, bytes]] = []
    while True:
        line, rest = _line(rest)
        if not line:
            return fields, rest
        found = _FIELD.fullmatch(line)
        if not found:
            raise _Invalid
        fields.append((found[1].lower(), found[2].strip(b"\t ")))


def _body(case: Case, status: int, fields: list[tuple[bytes, bytes]], rest: bytes) -> bytes:
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    if (lengths and codings) or len(lengths) > 1 or any(not length.isdigit() for length in lengths):
        raise _Invalid
    if case.method == "HEAD" or status in (204, 304):
        return b""
    if codings:
        if codings != [b"chunked"]:
            raise _Invalid
        return _chunks(rest)
    if lengths:
        size = int(lengths[0])
        if len(rest) < size:
            raise _Invalid
        return rest[:size]
    if status < 300 or case.is_rude:
        raise _Invalid  # the end of a connection is not believed to be the end of an object
    return rest


def _chunks(rest: bytes) -> bytes:
    body = b""
    while True:
        line, rest = _line(rest)
        found = _CHUNK.fullmatch(line)
        if not found:
            raise _Invalid
        size = int(found[1], 16)
        if not size:
            _fields(rest)
            return body
        if rest[size : size + 2] != b"\r\n":
            raise _Invalid
        body, rest = body + rest[:size], rest[size + 2 :]


# the campaign


class Server(asyncio.Protocol):
    """Sends the case that the request names, in one piece or in several, and ends the connection."""

    cases: ClassVar[dict[int, Case]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        found = re.match(rb"\w+ /(\d+) ", data)
        if not found:
            return
        number = int(found[1])
        case = self.cases.get(number)
        if case is None:
            self.transport.abort()
            return
        write = self.transport.write
        if number % 3 == 0 and len(case.raw) < 200:
            for at in range(0, len(case.raw), 5):
                write(case.raw[at : at + 5])
        else:
            write(case.raw)
        if case.is_rude:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            asyncio.get_running_loop().call_later(0.02, self.transport.abort)
        else:
            self.transport.close()


async def judge(pool: HttpPool, number: int, case: Case) -> tuple[str, str]:
    """How the case ended, and what is wrong with that; nothing where it is as it should be."""
    try:
        async with asyncio.timeout(10):
            answer = await pool.request(case.method, f"/{number}", [("host", "x")], most=MOST)
    except TimeoutError:
        return "hang", "the request hangs"
    except Error:
        return "error", ""
    except Exception as exc:  # noqa: BLE001 - this is what is looked for
        return "crash", f"{type(exc).__name__}: {exc}"
    expected = meaning(case)
    got = (answer.status, bytes(answer.body))
    if expected != got:
        return "wrong", f"the client says {got[0]} and {got[1][:60]!r}, a strict reader {expected!r:.80}"
    return "answer", ""


async def campaign(cases: Iterable[Case]) -> tuple[Counter[str], list[str]]:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=512)
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    pool = HttpPool(origin, timeouts=Timeouts(idle=5, connect=5))
    left = iter(enumerate(cases))

    async def work() -> None:
        for number, case in left:
            Server.cases[number] = case
            outcome, fault = await judge(pool, number, case)
            del Server.cases[number]
            outcomes[outcome] += 1
            if fault:
                wrong.append(f"{case.name}: {fault}\n    {case.raw[:200]!r}")

    await asyncio.gather(*(work() for _ in range(16)))
    await pool.close()
    server.close()
    return outcomes, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--twists", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    cases = chain(cuts(), twists(options.twists, options.seed))
    loop = asyncio.new_event_loop if options.seed % 2 else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop) as runner:
        outcomes, wrong = runner.run(campaign(cases))
    print(f"{outcomes.total()} answers, seed {options.seed}: {dict(outcomes)}")
    for fault in wrong[:20]:
        print(fault)
    # The strict reader agrees with the client about answers that nobody twisted, or it would prove nothing.
    whole = outcomes["answer"] >= len(BASES)
    return 0 if whole and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())

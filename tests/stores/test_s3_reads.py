"""What is read from S3 is what is stored, or an error: whatever a store, a gateway or a network does to answers."""

from __future__ import annotations

import gzip
import hashlib
import random
import re
import zlib
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress

import pytest
from awscrt import checksums

from keepstep.errors import Conflict, Corrupt, Error
from keepstep.stores.interface import Entry, Properties
from keepstep.stores.s3 import S3Store
from tests.faultproxy import Answer
from tests.stores.twisted import PART, Rewrite, TwistedBucket
from tests.stores.twisted import twisted as twisted

SMALL = random.Random(1).randbytes(10_000)
LARGE = random.Random(2).randbytes(3 * 1_000_000 + 17)
LIMIT = 1_000_000
"""Bytes that are read at a time here."""


async def read(store: S3Store, entry: Entry) -> bytes:
    """The whole object as an engine reads it: three times, when it does not arrive well."""
    for _ in range(2):
        with suppress(Corrupt):
            return await read_once(store, entry)
    return await read_once(store, entry)


async def read_once(store: S3Store, entry: Entry) -> bytes:
    source = await store.open(entry, LIMIT)
    data = bytes(source.first)
    while len(data) < source.size:
        data += bytes(await source.read(len(data), min(LIMIT, source.size - len(data))))
    await source.close()
    return data


def then(*rewrites: Rewrite) -> Rewrite:
    def rewrite(answer: Answer) -> Answer | None:
        for each in rewrites:
            changed = each(answer)
            if changed is None:
                return None
            answer = changed
        return answer

    return rewrite


def says(**headers: str) -> Rewrite:
    """The answer, with these headers changed."""

    def rewrite(answer: Answer) -> Answer:
        answer.headers |= {name.replace("_", "-"): value for name, value in headers.items()}
        return answer

    return rewrite


def flipped(at: int) -> Rewrite:
    """One bit of the object is another one, wherever the answer that has it begins."""

    def rewrite(answer: Answer) -> Answer:
        start = int(re.findall(r"bytes (\d+)", answer.headers.get("content-range", "bytes 0"))[0])
        if answer.status < 300 and start <= at < start + len(answer.body):
            body = bytearray(answer.body)
            body[at - start] ^= 1
            answer.body = bytes(body)
        return answer

    return rewrite


def hurt(place: int) -> Rewrite:
    """One bit of every answer is another one, at the same place."""

    def rewrite(answer: Answer) -> Answer:
        if answer.status < 300 and place < len(answer.body):
            body = bytearray(answer.body)
            body[place] ^= 1
            answer.body = bytes(body)
        return answer

    return rewrite


def crc(name: str, data: bytes) -> bytes:
    value = {"crc32": zlib.crc32, "crc32c": checksums.crc32c, "crc64nvme": checksums.crc64nvme}[name](data)
    return int(value).to_bytes(8 if name == "crc64nvme" else 4, "big")


def stored(name: str, data: bytes, part: int = 0) -> Rewrite:
    """The store keeps this checksum of the object: of its contents, or of the checksums of its parts."""
    digest: Callable[[bytes], bytes] = (
        (lambda piece: crc(name, piece))
        if name.startswith("crc")
        else (lambda piece: hashlib.new(name, piece).digest())
    )
    parts = [data[at : at + part] for at in range(0, len(data), part)] if part else []
    value = b64encode(digest(b"".join(map(digest, parts))) if parts else digest(data)).decode()
    kind = "COMPOSITE" if parts else "FULL_OBJECT"

    def rewrite(answer: Answer) -> Answer:
        is_whole = answer.line.startswith("HEAD") or answer.status == 200
        if "partNumber" in answer.line and answer.status < 300:
            number = int(re.findall(r"partNumber=(\d+)", answer.line)[0])
            size = len(parts[number - 1]) if parts else len(data)
            answer.headers |= {"content-length": str(size), "x-amz-mp-parts-count": str(len(parts) or 1)}
        elif is_whole and answer.request.get("x-amz-checksum-mode") == "ENABLED":
            answer.headers |= {
                f"x-amz-checksum-{name}": value + (f"-{len(parts)}" if parts else ""),
                "x-amz-checksum-type": kind,
                "etag": f'"{hashlib.md5(value.encode()).hexdigest()}-{len(parts) or 3}"',
            }
        if answer.status < 300:
            answer.headers["etag"] = f'"{hashlib.md5(value.encode()).hexdigest()}-{len(parts) or 3}"'
        return answer

    return rewrite


KEPT = [
    ("crc64nvme", 0),
    ("crc32", 0),
    ("crc32c", 0),
    ("sha256", 0),
    ("crc32", 700_001),
    ("crc64nvme", 700_001),
    ("crc32c", 1_000_000),
    ("sha256", 700_001),
    ("md5", 700_001),
]
"""Checksum, and bytes of the parts that the object came in."""


def keep(twisted: TwistedBucket, data: bytes, name: str, part: int, *more: Rewrite) -> Entry:
    """An object whose store keeps that checksum; ``more`` happens to what it sends."""
    twisted.put("key", data)
    if name == "md5":
        keeps = etag_of_parts(data, part)
    else:
        keeps = stored(name, data, part)
    entry = twisted.entry("key")
    answer = keeps(Answer(200, {}, b"", "HEAD / HTTP/1.1", {"x-amz-checksum-mode": "ENABLED"}))
    assert answer is not None
    twisted.twist("HeadObject", rewrite=keeps, drop="if-match")
    twisted.twist("GetObject", rewrite=then(keeps, *more), drop="if-match")
    return entry._replace(etag=answer.headers["etag"].strip('"'))


def etag_of_parts(data: bytes, part: int) -> Rewrite:
    """A store that knows no checksums; the object came in parts, and its ETag is that of their MD5s."""
    parts = [data[at : at + part] for at in range(0, len(data), part)]
    digest = hashlib.md5(b"".join(hashlib.md5(piece).digest() for piece in parts)).hexdigest()

    def rewrite(answer: Answer) -> Answer:
        if answer.status < 300:
            answer.headers["etag"] = f'"{digest}-{len(parts)}"'
        if "partNumber" in answer.line and answer.status < 300:
            number = int(re.findall(r"partNumber=(\d+)", answer.line)[0])
            size = len(parts[number - 1])
            answer.headers |= {"content-length": str(size), "x-amz-mp-parts-count": str(len(parts))}
        return answer

    return rewrite


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("name", "part"), KEPT)
def test_what_is_whole_is_read(twisted: TwistedBucket, data: bytes, name: str, part: int) -> None:
    """Whatever checksum a store keeps, of contents or of parts: an object that arrives well is read."""
    part = part if len(data) > LIMIT else part // 200
    entry = keep(twisted, data, name, part)
    assert twisted.run(lambda store: read(store, entry)) == data


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("name", "part"), KEPT)
@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
def test_a_flipped_bit_is_noticed(
    twisted: TwistedBucket, data: bytes, name: str, part: int, times: int | None
) -> None:
    """One bit of the object changes on its way: it is fetched again, and given up when that does not help."""
    part = part if len(data) > LIMIT else part // 200
    entry = keep(twisted, data, name, part)
    keeps = twisted.proxy.faults[-1].rewrite
    assert keeps
    twisted.proxy.faults.insert(
        0, twisted.twist("GetObject", rewrite=then(keeps, hurt(9_000)), times=times, drop="if-match")
    )
    if times:
        assert twisted.run(lambda store: read(store, entry)) == data
        return
    with pytest.raises(Corrupt):
        twisted.run(lambda store: read(store, entry))


@pytest.mark.parametrize("name", ["crc64nvme", "sha256"])
def test_damage_at_the_store_is_named(twisted: TwistedBucket, name: str) -> None:
    """What is damaged where it lies, and not on its way, is called so."""
    entry = keep(twisted, SMALL, name, 0, flipped(5))
    with pytest.raises(Corrupt, match="damaged where it is stored"):
        twisted.run(lambda store: read(store, entry))


def test_checksums_are_asked_for_until_a_store_refuses_the_question(twisted: TwistedBucket) -> None:
    """A store that refuses unknown headers is asked without them, and remembered."""
    twisted.put("key", SMALL)
    entry = twisted.entry("key")

    def refuse(answer: Answer) -> Answer:
        if "x-amz-checksum-mode" in answer.request:
            return Answer(400, {}, b"<Error><Code>InvalidArgument</Code><Message>unknown header</Message></Error>")
        return answer

    twisted.twist("GetObject", rewrite=refuse)

    async def twice(store: S3Store) -> tuple[bytes, bytes]:
        return await read(store, entry), await read(store, entry)

    assert twisted.run(twice) == (SMALL, SMALL)
    assert twisted.asked("GetObject") == 3


# ranges


@pytest.mark.parametrize(
    "twist",
    [
        says(content_range="bytes 0-999999/*"),
        says(content_range="bytes 0-999998/3000017"),
        says(content_range="bytes 1-1000000/3000017"),
        says(content_range="bytes 0-999999/1000000"),
        says(content_range="octets 0-999999/3000017"),
        says(content_range=""),
        lambda answer: Answer(200, {"etag": answer.headers["etag"]}, answer.body),
        lambda answer: Answer(206, answer.headers, answer.body[:-1]),
    ],
    ids=["total *", "short range", "shifted", "other total", "other unit", "no range", "a 200", "short body"],
)
@pytest.mark.parametrize("which", ["first", "later", "all"])
def test_a_range_is_the_one_that_was_asked_for(twisted: TwistedBucket, twist: Rewrite, which: str) -> None:
    """Odd answers to ranges: the whole object arrives, byte for byte, or there is an error; never less."""
    twisted.put("key", LARGE)
    entry = twisted.entry("key")

    def rewrite(answer: Answer) -> Answer | None:
        is_first = answer.request.get("range") == f"bytes=0-{LIMIT - 1}"
        return twist(answer) if which == "all" or is_first == (which == "first") else answer

    twisted.twist("GetObject", rewrite=rewrite)
    try:
        data = twisted.run(lambda store: read(store, entry))
    except Error:
        return
    assert data == LARGE


def test_a_total_that_is_not_told_is_no_total(twisted: TwistedBucket) -> None:
    """``Content-Range: bytes 0-999999/*``: the listing knows the size, and all of it is read."""
    twisted.put("key", LARGE)

    def rewrite(answer: Answer) -> Answer:
        answer.headers["content-range"] = re.sub(r"/\d+", "/*", answer.headers.get("content-range", ""))
        return answer

    twisted.twist("GetObject", rewrite=rewrite)
    entry = twisted.entry("key")
    assert twisted.run(lambda store: read(store, entry)) == LARGE


def test_a_store_that_ignores_if_match_mixes_nothing(twisted: TwistedBucket) -> None:
    """The object is replaced between two parts, and the store sends the new one: a conflict, not a mixture."""
    twisted.put("key", LARGE)
    entry = twisted.entry("key")

    async def work(store: S3Store) -> None:
        source = await store.open(entry, LIMIT)
        twisted.put("key", LARGE[::-1])
        twisted.twist(
            "GetObject",
            status=206,
            headers={"etag": '"other"', "content-range": "bytes 1000000-1000009/3000017"},
            body=b"0123456789",
        )
        with pytest.raises(Conflict):
            await source.read(LIMIT, 10)

    twisted.run(work)


def test_an_object_that_shrank_to_nothing_is_read(twisted: TwistedBucket) -> None:
    """Listed with many bytes and empty by now: it has no first byte, and is an empty object."""
    twisted.put("key", b"")
    entry = twisted.entry("key")._replace(size=len(LARGE), etag="older")
    assert twisted.run(lambda store: read(store, entry)) == b""


@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 2 * LIMIT])
@pytest.mark.parametrize("listed", [0, 1, LIMIT, 2 * LIMIT])
def test_an_object_that_changed_since_it_was_listed_is_read_as_it_is(
    twisted: TwistedBucket, size: int, listed: int
) -> None:
    """Whatever size it had when it was listed."""
    data = LARGE[:size]
    twisted.put("key", data)
    entry = twisted.entry("key")._replace(size=listed, etag="older")
    assert twisted.run(lambda store: read(store, entry)) == data


def test_a_size_that_is_not_the_listed_one_is_an_error(twisted: TwistedBucket) -> None:
    """The same state with another number of bytes than the listing shows: not taken for the object."""
    twisted.put("key", SMALL)
    entry = twisted.entry("key")._replace(size=len(SMALL) + 1)
    with pytest.raises(Corrupt, match="lists 10001 bytes"):
        twisted.run(lambda store: read(store, entry))


# what gateways do to bytes and ETags


@pytest.mark.parametrize("wanted", ["identity", "gzip"])
def test_bytes_come_as_they_are_stored(twisted: TwistedBucket, wanted: str) -> None:
    """A gateway that unpacks gzip-encoded objects unless the request says otherwise: they arrive packed."""
    packed = gzip.compress(SMALL * 3, mtime=0)
    twisted.put("key", packed, ContentEncoding="gzip")

    def unpack(answer: Answer) -> Answer:
        if answer.request.get("accept-encoding") == wanted or answer.status >= 300:
            return answer
        del answer.headers["content-encoding"]
        answer.status, answer.body = 200, gzip.decompress(packed)
        return answer

    twisted.twist("GetObject", rewrite=unpack)
    entry = twisted.entry("key")

    async def twice(store: S3Store) -> tuple[bytes, bytes]:
        return await read(store, entry), await read(store, entry)

    assert twisted.run(twice) == (packed, packed)
    assert twisted.asked("GetObject") == (2 if wanted == "identity" else 3)


def test_what_a_gateway_packs_on_the_way_is_not_the_object(twisted: TwistedBucket) -> None:
    """Answers that are compressed whatever is asked for, under an ETag of their own: an error, not packed files."""
    twisted.put("key", SMALL)

    def pack(answer: Answer) -> Answer:
        answer.body = gzip.compress(answer.body)
        answer.headers |= {"content-encoding": "gzip", "etag": answer.headers["etag"][:-1] + '-gzip"'}
        return answer

    twisted.twist("GetObject", rewrite=pack)
    entry = twisted.entry("key")
    with pytest.raises(Corrupt):
        twisted.run(lambda store: read(store, entry))


def no_md5(answer: Answer) -> Answer:
    """ETags of 32 hex digits that are not MD5s, as gateways have them that encrypt."""
    if "etag" in answer.headers:
        tag = answer.headers["etag"].strip('"')
        answer.headers["etag"] = f'"{hashlib.md5(tag.encode()).hexdigest()}"'
    if b"<ETag>" in answer.body:
        answer.body = re.sub(
            rb"(<ETag>(?:&quot;|\")?)([0-9a-f]{32})",
            lambda found: found[1] + hashlib.md5(found[2]).hexdigest().encode(),
            answer.body,
        )
    return answer


def no_checksum(answer: Answer) -> Answer:
    """Of a store that keeps none."""
    for name in [name for name in answer.headers if name.startswith("x-amz-checksum-")]:
        del answer.headers[name]
    return answer


@pytest.mark.parametrize("others", [0, 3])
def test_etags_that_are_no_md5s_hinder_nobody(twisted: TwistedBucket, others: int) -> None:
    """Reads and writes work, contents are what they are, and the store's way is reported once."""
    keys = ["key", *(f"other{number}" for number in range(others))]
    for key in keys:
        twisted.put(key, SMALL + key.encode())
    twisted.proxy.add(times=None, rewrite=no_md5, drop="if-match")

    async def work(store: S3Store) -> list[str]:
        for key in keys:
            entry = twisted.entry(key)
            entry = entry._replace(etag=hashlib.md5(entry.etag.encode()).hexdigest())
            assert await read(store, entry) == SMALL + key.encode()
            assert "MD5" not in await store.checksums(entry)
        await store.put("new", SMALL, Properties())
        return store.notices

    notices = twisted.run(work)
    assert len(notices) == 1
    assert "MD5s" in notices[0]
    assert twisted.get("new") == SMALL


def test_a_single_byte_under_an_etag_that_is_no_md5(twisted: TwistedBucket) -> None:
    """A lone object of one byte is read though its ETag is of something else, and the store's way is reported
    once."""
    twisted.put("key", b"x")
    twisted.proxy.add(times=None, rewrite=lambda answer: no_checksum(no_md5(answer)), drop="if-match")
    entry = twisted.entry("key")
    entry = entry._replace(etag=hashlib.md5(entry.etag.encode()).hexdigest())

    async def work(store: S3Store) -> tuple[bytes, list[str]]:
        return await read(store, entry), store.notices

    data, notices = twisted.run(work)
    assert data == b"x"
    assert len(notices) == 1 and "MD5s" in notices[0]


def test_a_single_byte_that_every_answer_hurts(twisted: TwistedBucket) -> None:
    """The ETag is the MD5 of another byte, so that one is stored: an error, however often the wrong one comes."""
    twisted.put("key", b"x")
    twisted.twist("GetObject", rewrite=hurt(0))
    entry = twisted.entry("key")
    with pytest.raises(Corrupt):
        twisted.run(lambda store: read(store, entry))


def test_a_write_finds_out_too(twisted: TwistedBucket) -> None:
    """An upload whose ETag is not its MD5 is read back once; that settles it for the run."""
    twisted.proxy.add(times=None, rewrite=no_md5, drop="if-match")

    async def work(store: S3Store) -> list[str]:
        await store.put("a", SMALL, Properties())
        await store.put("b", SMALL, Properties())
        upload = await store.begin("large", PART + 3, PART, Properties())
        await upload.write(0, bytes(PART))
        await upload.abort()
        return store.notices

    assert len(twisted.run(work)) == 1
    assert twisted.asked("GetObject") == 1
    assert twisted.asked("PutObject") == 2
    assert twisted.asked("UploadPart") == 1


def test_one_damaged_object_is_not_a_store_without_md5s(twisted: TwistedBucket) -> None:
    """Where other objects' ETags are their MD5s, the one that differs is damaged, and stays refused."""
    twisted.put("bad", SMALL)
    twisted.put("good", b"something else")
    twisted.proxy.add(match=r"^GET [^?]*/bad", times=None, rewrite=flipped(17), drop="if-match")
    entry = twisted.entry("bad")
    with pytest.raises(Corrupt, match="damaged where it is stored"):
        twisted.run(lambda store: read(store, entry))


@pytest.mark.parametrize("size", [2, 3, 4096, 200_000])
def test_what_hurts_every_answer_at_one_place_is_noticed(twisted: TwistedBucket, size: int) -> None:
    """A lone object, no checksum but its ETag, and a fault that hits the same place of every answer: an error."""
    twisted.put("key", LARGE[:size])
    twisted.twist("GetObject", rewrite=hurt(size // 2))
    entry = twisted.entry("key")
    with pytest.raises(Corrupt):
        twisted.run(lambda store: read(store, entry))


@pytest.mark.parametrize("size", [10_000, 100_000, PART + 1])
def test_a_bit_that_flips_on_its_way_up_is_noticed(twisted: TwistedBucket, size: int) -> None:
    """A store that takes any body, whatever was signed, and a bit that changes on its way: it is sent again."""
    data = random.Random(size).randbytes(size)
    wrong = f'"{hashlib.md5(data + b"flipped").hexdigest()}"'
    operation = "UploadPart" if size > PART else "PutObject"

    async def write(store: S3Store) -> None:
        if size <= PART:
            await store.put("key", data, Properties())
            return
        begun = await store.begin("key", size, PART, Properties())
        await begun.write(0, data[:PART])
        twisted.twist(operation, rewrite=says(etag=wrong), times=1)
        await begun.write(1, data[PART:])
        await begun.commit()

    if size <= PART:
        twisted.proxy.add(match="^GET", times=1, status=200, body=data[:-1] + b"?")
        twisted.twist(operation, rewrite=says(etag=wrong), times=1)
    twisted.run(write)
    assert twisted.get("key") == data
    assert twisted.asked(operation) == (3 if size > PART else 2)

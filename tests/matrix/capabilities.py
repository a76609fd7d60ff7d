"""What is tried on every store. Each returns nothing where all of it works, and otherwise what keepstep said.

A store that cannot do something must not hurt: wherever a text is returned, it has been asserted that the run told
it, and that what was there before is still there.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from keepstep.errors import Conflict, Unsupported
from tests.cli.conftest import Ran
from tests.matrix.place import LONG_AGO, Place, in_folder
from tests.servers import program
from tests.stores.twisted import few_attempts
from tests.twisting import TwistingProxy

MIB = 1024 * 1024
PART = 10 * MIB
FILES = {
    "empty": b"",
    "a.txt": b"small",
    "a/b/c d+e%20&f.csv": b"1,2\n" * 1000,
    "ünï/日本.bin": random.Random(1).randbytes(70_000),
}
TREE = ["a/b.txt", "a/b/c.txt", "a-1", "a.txt", "a/b-1", "d1/x", "d1-/x", "d2/y/z", "d2.old/y", "zz"]
"""Keys that a store which lists a folder's tree at once lists in another order than S3 does."""
ODD = [
    "../up",
    "a/../../b",
    "/rooted",
    "a//b",
    "./dot",
    "folder/",
    "back\\slash",
    "question?mark=1&x#fragment",
    "quote\"'<>&;",
    "e\u0301 and é",
    "tab\there",
    "control\x01\x1f\x7f",
    "U+E000 \ue000 and U+10000 \U00010000",
]
LARGE = random.Random(20).randbytes(MIB) * 11 + b"the end"
"""Three of the parts of :class:`Place`."""
SECRET, OTHER = b"0123456789abcdef0123456789abcdef", b"fedcba9876543210fedcba9876543210"

Capability = Callable[[Place], str | None]
CAPABILITIES: dict[str, tuple[str, Capability]] = {}
"""By name: the words of the table in docs/compatibility.md, and the trial."""


def capability(words: str) -> Callable[[Capability], Capability]:
    def register(work: Capability) -> Capability:
        CAPABILITIES[work.__name__] = (words, work)
        return work

    return register


@capability("files up and down, nothing twice")
def both_ways(place: Place) -> str | None:
    """A folder goes up and comes back byte for byte; a second run moves nothing."""
    source, back = place.folder(FILES), place.folder({})
    done(place.sync(source, place.address), len(FILES))
    assert place.contents() == FILES
    done(place.sync(source, place.address), 0)
    done(place.sync(place.address, back), len(FILES))
    assert in_folder(back) == FILES
    done(place.sync(place.address, back), 0)
    return None


@capability("large objects in parts, both ways")
def parts(place: Place) -> str | None:
    """What is larger than a part travels in parts, in both directions."""
    source, back = place.folder({"large.bin": LARGE}), place.folder({})
    ran = place.sync(source, place.address)
    done(ran, 1)
    assert ran.report["requests"]["UploadPart"] == 3
    assert place.read("in/large.bin") == LARGE
    ran = place.sync(place.address, back)
    done(ran, 1)
    assert ran.report["requests"]["GetObject"] > 2
    assert in_folder(back) == {"large.bin": LARGE}
    done(place.sync(source, place.address), 0)
    return None


@capability("a killed upload goes on where it was")
def resume(place: Place) -> str | None:
    """After SIGKILL in the middle of a large object the next run sends what is missing, and leaves no parts."""
    source = Path(place.folder({"large.bin": LARGE}))
    with TwistingProxy(place.server.url, "two-parts-only") as proxy:
        env = {**os.environ, **place.env, **proxy.env, "HOME": str(place.tmp)}
        command = [program("keepstep", "keepstep"), "sync", str(source), place.address, "--json"]
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: getattr(proxy.memory, "parts", 0) == 2, process)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        proxy.behave()
        ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stdout
        sent = proxy.operations.count("UploadPart")
    assert place.read("in/large.bin") == LARGE
    assert left(place) == []
    assert sent in (1, 3)
    return None if sent == 1 else "the upload was started again"


@capability("--delete")
def delete(place: Place) -> str | None:
    """What the source no longer has goes, whatever it is called; a repetition finds nothing to do."""
    source = place.folder(FILES)
    gone = {f"old/{n:02} é&<.txt": b"old" for n in range(30)}
    place.put(FILES | gone)
    ran = place.sync(source, place.address, "--delete", "--size-only", "--max-delete", "100%")
    done(ran, len(gone))
    assert place.contents() == FILES
    done(place.sync(source, place.address, "--delete", "--size-only"), 0)
    return None


@capability("trees of any order, filters, --delete")
def order(place: Place) -> str | None:
    """Keys that stores order differently: nothing is missed, nothing is deleted that the other side has."""
    files = {key: key.encode() for key in TREE}
    source = place.folder(files)
    done(place.sync(source, place.address), len(files))
    assert place.contents() == files
    chosen = ("--exclude", "*", "--include", "d2/*", "--include", "zz", "--delete")
    with few_attempts():
        ran = place.sync(source, place.address, "--page-size", "3")
    if ran.code:
        assert [failure["action"] for failure in ran.report["failures"]] == ["list"]
        return str(ran.report["failures"][0]["error"])
    for more in ((), ("--delete",), ("--page-size", "3", "--delete"), chosen):
        done(place.sync(source, place.address, *more), 0)
        done(place.sync(place.address, source, *more), 0)
    back = place.folder({})
    done(place.sync(place.address, back, *chosen), 2)
    (Path(source) / "a/b/c.txt").unlink()
    (Path(source) / "zz").unlink()
    done(place.sync(source, place.address, "--delete", "--page-size", "3"), 2)
    assert place.contents() == {key: data for key, data in files.items() if key not in ("a/b/c.txt", "zz")}
    return None


@capability("any key from another cloud")
def odd_keys(place: Place) -> str | None:
    """A key arrives byte for byte, or is named as one that this store cannot hold; nothing else changes for it."""
    before = {"a/b": b"before", "up": b"before", "rooted": b"before", "folder": b"before", "back/slash": b"before"}
    place.put(before, prefix="")
    place.put(before)
    address = place.oci_bucket()
    for key in ODD:
        place.oci_put(address, key, b"odd " + key.encode())
    time.sleep(1)  # some stores tell whole seconds: a copy made within the same one looks older than its source
    ran = place.sync(address, place.address)
    moved = {
        action["source"].removeprefix(address) for action in ran.report["actions"] if action["action"] == "copy"
    }
    named = {failure["source"].removeprefix(address) for failure in ran.report["failures"]}
    named |= {a["source"].removeprefix(address) for a in ran.report["actions"] if a["action"] == "skip"}
    assert moved | named == set(ODD)
    expected = before | {key: b"odd " + key.encode() for key in moved}
    found = place.contents()
    assert found == expected, {key: (found.get(key), expected.get(key)) for key in found.keys() | expected.keys()}
    assert {key: place.read(key) for key in before} == before
    assert ran.code == (0 if not named else 1 if ran.report["failures"] else 2)
    assert place.sync(address, place.address).report["counts"]["copy"] == 0
    return f"names {', '.join(sorted(ascii(key[:20]) for key in named))}" if named else None


@capability("from and to OCI")
def other_cloud(place: Place) -> str | None:
    """Small and large objects from OCI and back to it, with their headers and metadata."""
    first, second = place.oci_bucket(), place.oci_bucket()
    files = {**FILES, "large.bin": LARGE}
    said = {"content_type": "text/x-odd", "cache_control": "max-age=60", "opc_meta": {"owner": "team a"}}
    for key, data in files.items():
        place.oci_put(first, key, data, **said)
    time.sleep(1)
    ran = place.sync(first, place.address)
    done(ran, len(files), 2 if "does not keep" in ran.err else 0)
    assert place.contents() == files
    done(place.sync(place.address, second), len(files))
    time.sleep(1)
    done(place.sync(place.address, second), 0)
    head = place.oci.head_object(place.cloud.namespace, second[6:].partition("@")[0], "in/large.bin").headers
    is_kept = (head["content-type"], head.get("opc-meta-owner")) == ("text/x-odd", "team a")
    assert is_kept == ("does not keep" not in ran.err)
    return None


@capability("headers and metadata")
def metadata(place: Place) -> str | None:
    """What is said of objects is kept, small and large ones."""
    source = place.folder({"a.txt": b"1", "large.bin": LARGE})
    said = ("--metadata", "owner=team a,x-y=1", "--cache-control", "max-age=60", "--content-language", "de")
    more = ("--content-disposition", 'attachment; filename="a b.csv"', "--content-type", "text/csv; charset=utf-8")
    ran = place.sync(source, place.address, *said, *more)
    missing = set()
    for key in ("a.txt", "large.bin"):
        head = place.s3.head_object(Bucket=place.bucket, Key=f"in/{key}")
        found = {
            "metadata": {n.lower(): v for n, v in head["Metadata"].items()}.items()
            >= {"owner": "team a", "x-y": "1"}.items(),
            "Cache-Control": head.get("CacheControl") == "max-age=60",
            "Content-Language": head.get("ContentLanguage") == "de",
            "Content-Disposition": head.get("ContentDisposition") == 'attachment; filename="a b.csv"',
            "Content-Type": head.get("ContentType") == "text/csv; charset=utf-8",
        }
        missing |= {name for name, is_kept in found.items() if not is_kept}
    if not missing:
        done(ran, 2)
        return None
    assert ran.code == 2, missing
    assert all(name in ran.err for name in missing), ran.err
    return f"forgets {', '.join(sorted(missing))}"


@capability("copies on the server")
def copies(place: Place) -> str | None:
    """Between two buckets of the store the bytes do not pass through this machine, small or in parts."""
    files = {**FILES, "large.bin": LARGE}
    place.put(files)
    other = place.new()
    ran = place.sync(place.address, f"s3://{other}/in/")
    done(ran, len(files))
    assert place.contents(other) == files
    done(place.sync(place.address, f"s3://{other}/in/"), 0)
    requests = ran.report["requests"]
    return "the bytes pass through keepstep" if "GetObject" in requests else None


@capability("tags of copies")
def tags(place: Place) -> str | None:
    """Tags travel with a copy on the server, whole or in parts."""
    from botocore.exceptions import ClientError

    other = place.new()
    try:
        for key, data in (("small", b"1"), ("large", LARGE)):
            place.s3.put_object(Bucket=place.bucket, Key=f"in/{key}", Body=data, Tagging="a=1&b=x%20y")
        is_kept = place.s3.get_object_tagging(Bucket=place.bucket, Key="in/small").get("TagSet", []) != []
    except ClientError:
        is_kept = False
        place.put({"small": b"1", "large": LARGE})
    ran = place.sync(place.address, f"s3://{other}/in/")
    done(ran, 2)
    assert place.contents(other) == {"small": b"1", "large": LARGE}
    if not is_kept:
        return "stores no tags"
    for key in ("small", "large"):
        found = place.s3.get_object_tagging(Bucket=other, Key=f"in/{key}").get("TagSet", [])
        if {tag["Key"]: tag["Value"] for tag in found} != {"a": "1", "b": "x y"}:
            return "forgets those of objects that come in parts" if key == "large" else "forgets them"
    return None


@capability("--compare checksum")
def compare(place: Place) -> str | None:
    """Equal contents move nothing whatever their times are; one changed byte of an old file is found."""
    files = {"a": b"one", "b": b"two" * 5000, "large.bin": LARGE}
    source = place.folder(files)
    done(place.sync(source, place.address), 3)
    for key in files:
        os.utime(Path(source) / key)
    done(place.sync(source, place.address, "--compare", "checksum"), 0)
    (Path(source) / "a").write_bytes(b"One")
    os.utime(Path(source) / "a", (LONG_AGO, LONG_AGO))
    done(place.sync(source, place.address, "--compare", "checksum"), 1)
    assert place.read("in/a") == b"One"
    return None


@capability("verify")
def verify(place: Place) -> str | None:
    """Equal places are equal, and a changed byte, a missing and a further key are named."""
    files = {"a": b"one", "b": b"two", "large.bin": LARGE}
    source = place.folder(files)
    done(place.sync(source, place.address), 3)
    assert place.run("verify", source, place.address).code == 0
    place.put({"a": b"One", "c": b"more"})
    (Path(source) / "d").write_bytes(b"missing")
    ran = place.run("verify", source, place.address)
    assert ran.code == 1
    assert all(f"/{key}" in ran.out + ran.err for key in "acd"), ran.out
    return None


@capability("SSE-C")
def customer_key(place: Place) -> str | None:
    """Objects under a key of the user's are written and read; without it nobody reads them."""
    from botocore.exceptions import ClientError

    files = {"a": b"secret", "large.bin": LARGE}
    source, back = place.folder(files), place.folder({})
    ran = place.sync(source, place.address, "--sse-c", "--sse-c-key", place.key_file(SECRET))
    stored = place.keys()
    for key in stored:
        try:
            clear = place.read(f"in/{key}")
        except ClientError:
            continue
        assert confirms_customer_keys(place), f"{key} is readable without its key: {clear[:10]!r}"
        return "confirms encryption that it does not do"
    if ran.code:
        assert ran.code == 1
        assert len(ran.report["failures"]) == len(files) - len(stored)
        return str(ran.report["failures"][0]["error"])
    done(place.sync(place.address, back, "--sse-c", "--sse-c-key", place.key_file(SECRET)), 2)
    assert in_folder(back) == files
    assert place.sync(place.address, place.folder({}), "--sse-c", "--sse-c-key", place.key_file(OTHER)).code == 1
    return None


@capability("--sse")
def encryption(place: Place) -> str | None:
    """Encryption by the store is done, or the object is reported as failed."""
    source = place.folder({"a": b"1", "large.bin": LARGE})
    with few_attempts():
        ran = place.sync(source, place.address, "--sse", "AES256")
    if ran.code:
        assert ran.code == 1
        assert len(ran.report["failures"]) == 2
        return str(ran.report["failures"][0]["error"])
    for key in ("a", "large.bin"):
        head = place.s3.head_object(Bucket=place.bucket, Key=f"in/{key}")
        assert head.get("ServerSideEncryption") == "AES256", key
    return None


@capability("stored checksums")
def checksums(place: Place) -> str | None:
    """A checksum that is asked for is stored with the object, small or in parts, and checked when it is read."""
    files = {"a": b"1" * 1000, "large.bin": LARGE}
    source = place.folder(files)
    ran = place.sync(source, place.address, "--checksum-algorithm", "SHA256")
    if ran.code:
        assert ran.code == 1
        return str(ran.report["failures"][0]["error"])
    back = place.folder({})
    done(place.sync(place.address, back, "--checksum-mode", "ENABLED"), 2)
    assert in_folder(back) == files
    heads = [place.s3.head_object(Bucket=place.bucket, Key=f"in/{key}", ChecksumMode="ENABLED") for key in files]
    return None if all("ChecksumSHA256" in head for head in heads) else "stores none"


@capability("trash, on the server")
def trash(place: Place) -> str | None:
    """What is deleted or overwritten goes to another bucket of the store first."""
    source, other = place.folder({"a": b"new"}), place.new()
    place.put({"a": b"old contents", "b": b"gone"})
    ran = place.sync(source, place.address, "--delete", "--trash", f"s3://{other}/", "--max-delete", "100%")
    done(ran, 2)
    assert place.contents() == {"a": b"new"}
    kept = place.contents(other, prefix="")
    assert sorted(kept.values()) == [b"gone", b"old contents"]
    return None


@capability("an audit log (writes only where nothing is)")
def create(place: Place) -> str | None:
    """Of many who create the same entry one wins."""
    from keepstep.clouds.aws import AwsIdentity
    from keepstep.clouds.aws_chain import AwsSettings
    from keepstep.stores.address import Address
    from keepstep.stores.s3 import S3Store
    from keepstep.stores.s3_client import S3Client

    async def main() -> Sequence[object]:
        client = S3Client(place.bucket, AwsIdentity(AwsSettings()))
        store = S3Store(Address("s3", bucket=place.bucket), client)
        tries = (store.create("log/1", f"writer {n}".encode(), "text/plain") for n in range(8))
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        await store.close()
        return outcomes

    before = {name: os.environ.get(name) for name in place.server.env}
    os.environ.update(place.server.env)
    try:
        outcomes = asyncio.run(main())
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    if any(isinstance(outcome, Unsupported) for outcome in outcomes):
        return str(next(outcome for outcome in outcomes if isinstance(outcome, Unsupported)))
    won = [n for n, outcome in enumerate(outcomes) if outcome is None]
    assert len(won) == 1, outcomes
    assert all(isinstance(outcome, Conflict) for n, outcome in enumerate(outcomes) if n not in won), outcomes
    assert place.read("log/1") == f"writer {won[0]}".encode()
    return None


@capability("wrong keys are refused")
def wrong_secret(place: Place) -> str | None:
    """Somebody without the right secret gets nothing, and is notified what to check."""
    place.put({"a": b"1"})
    ran = place.sync(place.address, place.folder({}), AWS_SECRET_ACCESS_KEY="wrong")
    if ran.code == 0:
        return "does not check signatures"
    assert ran.code == 5, ran.err
    assert "secret key" in ran.report["failures"][0]["hint"]
    return None


@capability("a bucket that is not there is named")
def missing(place: Place) -> str | None:
    """No bucket is no empty bucket."""
    source = place.folder({"a": b"1"})
    ran = place.sync("s3://no-such-bucket-here/", source, "--delete", "--allow-empty-source")
    assert ran.code == 5, ran.err
    assert "no-such-bucket-here" in ran.report["failures"][0]["error"]
    assert in_folder(source) == {"a": b"1"}
    return None


def done(ran: Ran, moves: int, code: int = 0) -> None:
    """Asserts that a run ended with this code, and moved or deleted so many."""
    assert ran.code == code, (ran.code, ran.report["failures"][:3], ran.err)
    found = [action for action in ran.report["actions"] if action["action"] != "skip"]
    assert len(found) == moves, found


def until(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert process.poll() is None, "the run ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def left(place: Place) -> list[object]:
    """The uploads that were not ended, as far as the store tells."""
    from botocore.exceptions import ClientError

    try:
        found: list[object] = place.s3.list_multipart_uploads(Bucket=place.bucket).get("Uploads", [])
    except ClientError:
        return []
    return found


def confirms_customer_keys(place: Place) -> bool:
    """Whether the store answers as if it had encrypted."""
    said = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": SECRET}
    return "SSECustomerAlgorithm" in place.s3.put_object(Bucket=place.bucket, Key="sse-c", Body=b"1", **said)

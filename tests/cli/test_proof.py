"""The command says of objects what was proved of them, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

from tests.cli.inprocess import keepstep
from tests.faultproxy import Answer
from tests.stores.test_s3_reads import crc, flipped, no_md5, then
from tests.stores.twisted import PART, TwistedBucket
from tests.stores.twisted import twisted as twisted

LARGE = random.Random(3).randbytes(4 * PART + 1)
SMALL = {f"{number}.csv": f"contents of {number}".encode() for number in range(6)}


def checksummed(answer: Answer) -> Answer:
    """The store keeps the CRC32 of the contents, as S3 does of what came in parts."""
    from base64 import b64encode

    if answer.line.startswith("HEAD"):
        value = b64encode(crc("crc32", LARGE)).decode()
        answer.headers |= {"x-amz-checksum-crc32": value, "x-amz-checksum-type": "FULL_OBJECT"}
    return answer


def test_a_flipped_bit_in_a_large_download_leaves_no_file(twisted: TwistedBucket, tmp_path: Path) -> None:
    """An object in parts, damaged by one bit on its way: exit 1, no file; whole again once the network is."""
    twisted.put("large.bin", LARGE)
    twisted.twist("HeadObject", rewrite=checksummed)
    twisted.twist("GetObject", rewrite=then(checksummed, flipped(3 * PART + 5)))
    source, target = f"s3://{twisted.name}/", tmp_path / "target"
    ran = keepstep("sync", source, str(target), "--json")
    assert ran.code == 1
    assert "large.bin" in ran.report["failures"][0]["error"]
    assert [path.name for path in target.rglob("*") if path.is_file()] == []
    twisted.proxy.clear()
    assert keepstep("sync", source, str(target)).code == 0
    assert (target / "large.bin").read_bytes() == LARGE


def test_a_store_whose_etags_are_no_md5s_can_be_used(twisted: TwistedBucket, tmp_path: Path) -> None:
    """Up, down, compared by contents and verified: all arrives, and one warning says what is not believed."""
    source, down = tmp_path / "source", tmp_path / "down"
    source.mkdir()
    for name, data in SMALL.items():
        (source / name).write_bytes(data)
    twisted.proxy.add(times=None, rewrite=no_md5, drop="if-match")
    place = f"s3://{twisted.name}/"
    up = keepstep("sync", str(source), place)
    assert up.code == 0, up.err
    assert up.err.count("look like MD5s") == 1
    assert keepstep("sync", place, str(down)).code == 0
    assert {path.name: path.read_bytes() for path in down.iterdir()} == SMALL
    again = keepstep("sync", str(source), place, "--compare", "checksum", "--json")
    assert (again.code, again.report["counts"].get("upload", 0)) == (0, 0), again.err
    assert keepstep("verify", str(source), place).code == 0


def test_deletes_that_nobody_confirmed_are_failures(twisted: TwistedBucket, tmp_path: Path) -> None:
    """A proxy answers DeleteObjects with a page: exit 1, every key is named, none is said to be deleted."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "kept").write_bytes(b"1")
    for key in ("a", "b", "kept"):
        twisted.put(key, b"1")
    twisted.twist("DeleteObjects", status=200, body=b"<html>Please sign in</html>")
    options = ("--delete", "--max-delete", "100%", "--size-only", "--json")
    ran = keepstep("sync", str(tmp_path / "source"), f"s3://{twisted.name}/", *options)
    assert ran.code == 1
    assert ran.report["actions"] == []
    assert len(ran.report["failures"]) == 2
    assert twisted.keys() == ["a", "b", "kept"]

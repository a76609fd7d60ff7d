"""Whole syncs through stores and networks that twist every answer: whatever they do, a run tells the truth.

A run that says that it is done has done it; what it has not done it names; it deletes nothing that the source has.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ran
from tests.cli.inprocess import keepstep
from tests.matrix.place import LONG_AGO, in_folder
from tests.matrix.recording import record
from tests.matrix.twists import ALWAYS, REFUSED, USABLE
from tests.servers import Aws
from tests.stores.twisted import few_attempts
from tests.twisting import MODES, TwistingProxy

Twisted = Callable[..., TwistingProxy]
LARGE = bytes(range(256)) * 20_480 + b"behind the first part"
FILES = {
    "a-1": b"one",
    "a.txt": b"two",
    "a/b.txt": b"three",
    "a/b/c.txt": b"four",
    "a/b-1": b"5" * 2000,
    "empty": b"",
    "ünï \ue000": b"six",
    "ünï \U00010000": b"seven",
    "zz": LARGE,
}
EXTRA = {"b/gone": b"eight", "old": b"nine"}


def selected() -> list[Any]:
    """The modes that a plain sync meets, most of them with the long tests."""
    modes = [mode for mode in MODES if mode in USABLE or mode in REFUSED]
    return [pytest.param(mode, marks=[] if mode in ALWAYS else pytest.mark.long) for mode in modes]


@pytest.mark.parametrize("mode", selected())
def test_a_run_tells_the_truth(twisted: Twisted, moto: Aws, tmp_path: Path, mode: str) -> None:
    """Upload and download through each mode, with --delete: the ends are what the report says of them."""
    world = World(moto, tmp_path)
    proxy = twisted(mode, page_size=3)
    with few_attempts():
        up = world.sync(proxy, world.source, world.address)
        world.holds_after(up, world.bucket_contents(), FILES, EXTRA)
        assert in_folder(world.source) == FILES
        down = world.sync(proxy, world.full, world.target)
        world.holds_after(down, in_folder(world.target), FILES, EXTRA)
        assert world.bucket_contents(world.full) == FILES
    is_usable = up.code == 0 and down.code == 0
    said = "" if is_usable else world.said(up if up.code else down)
    record("twisted", mode, said)
    assert is_usable == (mode in USABLE), (up.code, down.code, said)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("no-copy", "does not copy"),
        ("copy-taken-for-upload", "does not copy"),
        ("copy-not-found", ""),
        ("no-tagging", "has no tags"),
        ("tagging-taken-for-get", "has no tags"),
    ],
)
def test_a_copy_goes_another_way(twisted: Twisted, moto: Aws, tmp_path: Path, mode: str, said: str) -> None:
    """Between buckets of a store that does not copy, or knows no tags, everything arrives, and it is reported
    once."""
    world = World(moto, tmp_path)
    ran = world.sync(twisted(mode), world.full, world.address)
    assert ran.code == 0, ran.err
    assert world.bucket_contents() == FILES
    assert len(ran.report["warnings"]) == bool(said)
    assert said in ran.err


class World:
    """A folder and a bucket that hold the same, and a target for each that holds something else."""

    def __init__(self, moto: Aws, tmp: Path) -> None:
        self._s3 = moto.client("s3")
        config = tmp / "aws_config"
        config.write_text("[default]\ns3 =\n  multipart_threshold = 5MB\n  multipart_chunksize = 5MB\n")
        self._env = {**moto.env, "AWS_CONFIG_FILE": str(config)}
        self.source, self.target = str(tmp / "source"), str(tmp / "target")
        self.address, self.full = f"s3://{self._bucket(EXTRA)}/", f"s3://{self._bucket(FILES)}/"
        for root, files in ((self.source, FILES), (self.target, EXTRA)):
            for key, data in files.items():
                path = Path(root) / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                os.utime(path, (LONG_AGO, LONG_AGO))

    def _bucket(self, files: dict[str, bytes]) -> str:
        name = f"truth-{uuid.uuid4().hex[:10]}"
        self._s3.create_bucket(Bucket=name)
        for key, data in files.items():
            self._s3.put_object(Bucket=name, Key=key, Body=data)
        return name

    def bucket_contents(self, address: str = "") -> dict[str, bytes]:
        """Seen without the proxy."""
        name = (address or self.address).removeprefix("s3://").strip("/")
        found = self._s3.list_objects_v2(Bucket=name).get("Contents", ())
        return {i["Key"]: self._s3.get_object(Bucket=name, Key=i["Key"])["Body"].read() for i in found}

    def sync(self, proxy: TwistingProxy, source: str, target: str) -> Ran:
        words = ("--delete", "--max-delete", "100%", "--cli-read-timeout", "5", "--json")
        return keepstep("sync", source, target, *words, env={**self._env, **proxy.env})

    @staticmethod
    def said(ran: Ran) -> str:
        failures = ran.report["failures"]
        return str(failures[0]["error"] if failures else ran.err)

    def holds_after(
        self, ran: Ran, found: dict[str, bytes], wanted: dict[str, bytes], extra: dict[str, bytes]
    ) -> None:
        """What is at a target is what the report says."""
        failed = {Path(failure["target"] or failure["source"] or "").name for failure in ran.report["failures"]}
        skipped = {Path(a["source"] or "").name for a in ran.report["actions"] if a["action"] == "skip"}
        for key, data in found.items():
            assert key in wanted or key in extra, f"nobody asked for {key!r}"
            assert data == (wanted | extra)[key] or Path(key).name in failed, f"{key!r} is not what it is to be"
        deleted = [a for a in ran.report["actions"] if a["action"] == "delete"]
        assert len(deleted) <= len(extra.keys() - found.keys()), "more is said to be deleted than is gone"
        missing = {Path(key).name for key in wanted.keys() - found.keys()}
        if missing:
            assert ran.code != 0, missing
            assert missing <= failed | skipped or any(
                f["action"] in ("list", "run") for f in ran.report["failures"]
            )
        if ran.code == 0:
            assert found == wanted, found.keys() ^ wanted.keys()

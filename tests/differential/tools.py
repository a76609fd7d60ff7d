"""The AWS CLI and keepstep, both in this process, because most of a call's time is the start of an interpreter."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keepstep.cli import main
from keepstep_localcloud.aws.objects import find_bucket
from tests.cli.conftest import Ran
from tests.differential.world import Case, Object, Tree

OURS = ("--max-delete", "100%", "--allow-empty-source")
"""The AWS CLI has no guards."""
MADE = {"page.html": "text/x-kept"}
"""Types that objects of S3 are made with, to see whether they travel."""


def captured(call: Callable[[], Any]) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = call()
        except SystemExit as exc:
            code = exc.code
    return Ran(int(code or 0), out.getvalue(), err.getvalue())


class Tools:
    """Both commands, against the local AWS of this process, whose objects get the times they are to have."""

    def __init__(self, folder: Path) -> None:
        import awscli.clidriver  # type: ignore[import-untyped]

        self._driver = awscli.clidriver.create_clidriver()
        self._folder = folder

    def aws(self, *words: str) -> Ran:
        return captured(lambda: self._driver.main(["s3", "sync", *words, "--no-progress"]))

    def keepstep(self, *words: str) -> Ran:
        return captured(lambda: main(["sync", *words, *OURS], prog_name="keepstep"))

    def places(self, case: Case) -> tuple[str, str]:
        """Addresses of fresh places that hold what the case says."""
        source = (
            self._local(case.source) if case.direction == "upload" else self._s3(case.source, case.source_prefix)
        )
        is_local = case.direction == "download"
        target = self._local(case.target) if is_local else self._s3(case.target, case.target_prefix)
        return source, target

    def _local(self, tree: Tree) -> str:
        folder = self._folder / uuid.uuid4().hex[:12]
        folder.mkdir()
        for name, file in tree.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if file.link:
                path.symlink_to(self._linked(file))
                continue
            path.write_bytes(b"x" * file.size)
            nanoseconds = int(file.time * 1000) * 1_000_000
            os.utime(path, ns=(nanoseconds, nanoseconds))
        return str(folder)

    def _linked(self, file: Object) -> Path:
        """What a link leads to, outside the folder."""
        outside = self._folder / f"outside-{uuid.uuid4().hex[:12]}"
        if file.link == "file":
            outside.write_bytes(b"x" * file.size)
            os.utime(outside, (int(file.time), int(file.time)))
        elif file.link == "folder":
            outside.mkdir()
            (outside / "within").write_bytes(b"x")
            os.utime(outside / "within", (int(file.time), int(file.time)))
        return outside

    def _s3(self, tree: Tree, prefix: str) -> str:
        name = f"case-{uuid.uuid4().hex[:12]}"
        bucket = new_bucket(name)
        folder = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
        for key, each in tree.items():
            put(name, folder + key, b"x" * each.size, each.time, each.storage_class)
        if folder:
            put(name, folder[:-1] + "-not-inside", b"1", 0)
        assert bucket is find_bucket(name)
        return f"s3://{name}/{prefix}"


def _backend() -> Any:
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


def new_bucket(name: str) -> Any:
    return _backend().create_bucket(name, "us-east-1")


def put(bucket: str, key: str, body: bytes, time: float, storage_class: str = "STANDARD") -> None:
    """An object as it would have been put at that time."""
    made = _backend().put_object(bucket, key, body, storage=storage_class)
    made.last_modified = datetime.fromtimestamp(time, UTC).replace(tzinfo=None)
    ending = key.rpartition("/")[2]
    made.set_metadata({"Content-Type": MADE.get(ending, "binary/octet-stream"), "x-amz-meta-made": "there"})

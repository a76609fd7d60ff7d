"""Buckets of S3, the command that syncs with them, and somebody else's client that looks at them."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from tests.cli.conftest import Ran
from tests.cli.inprocess import keepstep
from tests.servers import Aws

KEY = b"0123456789abcdef0123456789abcdef"
OTHER = b"fedcba9876543210fedcba9876543210"


class Buckets:
    """A bucket to begin with, and more on request."""

    def __init__(self, aws: Aws, tmp_path: Path) -> None:
        self.s3 = aws.client("s3")
        self.tmp = tmp_path
        self.name = self.new()
        self.env = aws.env

    def new(self) -> str:
        name = f"options-{uuid.uuid4().hex[:10]}"
        self.s3.create_bucket(Bucket=name)
        return name

    def folder(self, **files: bytes) -> str:
        folder = self.tmp / uuid.uuid4().hex
        for name, data in files.items():
            path = folder / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            os.utime(path, (1_700_000_000, 1_700_000_000))
        return str(folder)

    def sync(self, *words: str, **changed: str | None) -> Ran:
        return keepstep("sync", *words, env={**self.env, **changed})

    def head(self, key: str, bucket: str = "", **rest: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.s3.head_object(Bucket=bucket or self.name, Key=key, **rest)
        return found

    def key_file(self, name: str, key: bytes) -> str:
        (self.tmp / name).write_bytes(key)
        return f"fileb://{self.tmp / name}"

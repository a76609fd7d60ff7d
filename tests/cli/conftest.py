"""Both local clouds with cost reports in one of them, and the command as its users call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keepstep_localcloud.focus import write_reports
from keepstep_localcloud.server import LocalCloud
from tests.servers import Aws

if TYPE_CHECKING:
    from tests.cli.buckets import Buckets


@dataclass
class Ran:
    """What a command left: its exit code and what it said."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.out)
        return report


@dataclass
class MainJob:
    """A tenancy with cost reports, and a bucket for them."""

    cloud: LocalCloud
    aws: Aws
    source: str
    bucket: str
    reports: int
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return f"s3://{self.bucket}/oci/"

    def keepstep(self, *words: str, timeout: float = 120, **changed: str | None) -> Ran:
        """Runs the command; ``changed`` variables replace or, when None, remove those of the local clouds."""
        env = dict(os.environ) | self.variables
        for name, value in changed.items():
            env.pop(name, None)
            if value is not None:
                env[name] = value
        command = [sys.executable, "-m", "keepstep", *words]
        result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout, check=False)
        return Ran(result.returncode, result.stdout, result.stderr)

    def sync(self, *options: str, **changed: str | None) -> Ran:
        return self.keepstep("sync", self.source, self.target, *options, timeout=120, **changed)

    def keys(self) -> list[str]:
        """What the bucket holds, asked by somebody else's client."""
        pages = self.aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]


@pytest.fixture(scope="session")
def _tenancy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalCloud, int]]:
    folder = tmp_path_factory.mktemp("bling")
    cloud = LocalCloud(tmp_path_factory.mktemp("oci"), "--bling", str(folder))
    count = write_reports(folder, tenancy="ocid1.tenancy.oc1..test", end=datetime.now(UTC), days=7)
    with cloud:
        yield cloud, count


@pytest.fixture
def main_job(_tenancy: tuple[LocalCloud, int], moto: Aws) -> Iterator[MainJob]:
    yield new_job(_tenancy, moto)
    _tenancy[0].clear_faults()


def new_job(tenancy: tuple[LocalCloud, int], moto: Aws) -> MainJob:
    """With a bucket of its own."""
    cloud, count = tenancy
    bucket = f"finops-{uuid.uuid4().hex[:10]}"
    moto.client("s3").create_bucket(Bucket=bucket)
    return MainJob(cloud, moto, f"oci://{cloud.tenancy}@bling/", bucket, count, {**cloud.env, **moto.env})


Edit = Callable[..., Path]


@pytest.fixture
def oci_config(main_job: MainJob, tmp_path: Path) -> Edit:
    """``oci_config(name=value, ...)``: the path of a copy of the OCI configuration with values changed."""

    def edit(**values: str) -> Path:
        lines = []
        for line in main_job.cloud.config.read_text().splitlines():
            name = line.partition("=")[0].strip()
            lines.append(f"{name} = {values[name]}" if name in values else line)
            if line.startswith("[SESSION]"):
                break
        path = tmp_path / "oci_config"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)
        return path

    return edit


@pytest.fixture
def buckets(moto: Aws, tmp_path: Path) -> Buckets:
    """A fresh bucket of S3, and what is needed to sync with it."""
    from tests.cli.buckets import Buckets

    return Buckets(moto, tmp_path)

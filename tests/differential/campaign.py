"""Many cases in one process: each by both commands, and where they differ."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keepstep_localcloud.aws import LocalAws
from tests.differential.compare import compare_plans, compare_results
from tests.differential.tools import Tools
from tests.differential.world import case, real_case


@contextmanager
def tools() -> Iterator[tuple[Tools, Any]]:
    """Both commands in an environment of their own, and a client that is neither's."""
    import boto3

    for name in [name for name in os.environ if name.startswith(("AWS_", "KEEPSTEP_"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder, LocalAws(None) as aws:
        os.environ.update(aws.env(), HOME=folder, AWS_EC2_METADATA_DISABLED="true")
        os.chdir(folder)
        yield Tools(Path(folder)), boto3.client("s3")


def work(task: tuple[int, int]) -> tuple[list[str], int]:
    """The differences in the cases from ``start`` up to ``stop``, and how many runs were compared.

    Every case is planned; one in four is also one that is not dry.
    """
    found = []
    with tools() as (both, client):
        for number in range(*task):
            found.append(compare_plans(both, case(number)))
            if number % 4 == 0:
                found.append(compare_results(both, real_case(number), client))
    return [str(difference) for difference in found if difference], len(found)

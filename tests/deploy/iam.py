"""Which IAM actions keepstep needs: what it was seen to call, in the words of IAM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keepstep.stores.s3_client import S3Client
from keepstep.vaults.aws_calls import AwsCalls
from tests.deploy.hcl import resources
from tests.deploy.images import REPOSITORY

S3_ACTIONS = {
    "AbortMultipartUpload": {"s3:AbortMultipartUpload"},
    "CompleteMultipartUpload": {"s3:PutObject"},
    "CopyObject": {"s3:GetObject", "s3:PutObject", "s3:GetObjectTagging", "s3:PutObjectTagging"},
    "CreateMultipartUpload": {"s3:PutObject"},
    "DeleteObject": {"s3:DeleteObject"},
    "DeleteObjects": {"s3:DeleteObject"},
    "GetObject": {"s3:GetObject"},
    "GetObjectTagging": {"s3:GetObjectTagging"},
    "HeadObject": {"s3:GetObject"},
    "ListObjectsV2": {"s3:ListBucket"},
    "ListParts": {"s3:ListMultipartUploadParts"},
    "PutObject": {"s3:PutObject"},
    "UploadPart": {"s3:PutObject"},
    "UploadPartCopy": {"s3:GetObject", "s3:PutObject"},
}
"""Amazon S3 User Guide, "Required permissions for Amazon S3 API operations"."""


@contextmanager
def observed(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The actions of everything that this process calls in the block; the calls themselves are made as ever."""
    seen: set[str] = set()
    call_s3: Any = S3Client.call
    call_aws: Any = AwsCalls.call

    async def s3(self: S3Client, operation: str, *words: Any, **more: Any) -> Any:
        seen.update(S3_ACTIONS[operation])
        return await call_s3(self, operation, *words, **more)

    async def aws(self: AwsCalls, operation: str, *words: Any, **more: Any) -> Any:
        seen.add(f"{self.service}:{operation}")
        return await call_aws(self, operation, *words, **more)

    with monkeypatch.context() as patched:
        patched.setattr(S3Client, "call", s3)
        patched.setattr(AwsCalls, "call", aws)
        yield seen


def in_the_code(operations: set[str]) -> set[str]:
    """Those of S3's operations that the code of the stores calls somewhere, as actions."""
    folder = REPOSITORY / "src" / "keepstep" / "stores"
    text = "".join(path.read_text() for path in sorted(Path(folder).glob("s3*.py")))
    return {action for name in operations if re.search(rf'"{name}"', text) for action in S3_ACTIONS[name]}


def granted(module: str, policies: set[str]) -> set[str]:
    """The actions of policy documents, also of those that a variable switches on, but for KMS's."""
    found: set[str] = set()
    for kind, name, content in resources(module):
        if kind == "data.aws_iam_policy_document" and name in policies:
            statements = list(content.get("statement", ()))
            for dynamic in content.get("dynamic", ()):
                statements += [inner for each in dynamic.values() for inner in each["content"]]
            for statement in statements:
                found.update(statement["actions"])
    return {action for action in found if not action.startswith("kms:")}

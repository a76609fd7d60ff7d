"""Which IAM actions keepstep needs: what it was seen to call, in the words of IAM."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from botocore.client import BaseClient

from keepstep.stores.s3_client import S3Client
from keepstep.vaults.aws_calls import AwsCalls
from tests.deploy.hcl import resources
from tests.deploy.images import REPOSITORY

S3_ACTIONS = {
    "AbortMultipartUpload": {"s3:AbortMultipartUpload"},
    "CompleteMultipartUpload": {"s3:PutObject"},
    "CopyObject": {"s3:PutObject"},
    "CreateMultipartUpload": {"s3:PutObject"},
    "DeleteObject": {"s3:DeleteObject"},
    "DeleteObjects": {"s3:DeleteObject"},
    "GetObject": {"s3:GetObject"},
    "GetObjectTagging": {"s3:GetObjectTagging"},
    "HeadBucket": {"s3:ListBucket"},
    "HeadObject": {"s3:GetObject"},
    "ListObjectsV2": {"s3:ListBucket"},
    "ListParts": {"s3:ListMultipartUploadParts"},
    "PutObject": {"s3:PutObject"},
    "PutObjectTagging": {"s3:PutObjectTagging"},
    "UploadPart": {"s3:PutObject"},
    "UploadPartCopy": {"s3:PutObject"},
}
"""Amazon S3 User Guide, "Required permissions for Amazon S3 API operations". ``_read_by`` has what copies read."""
_VERSIONED = {"s3:GetObject", "s3:DeleteObject", "s3:GetObjectTagging"}
"""Actions that have a second name where a version is named."""
_CREATES = ("CopyObject", "CreateMultipartUpload", "PutObject")

Right = tuple[str, str]
"""An action, and the bucket or the address of the secret that it is for."""


def s3_rights(operation: str, bucket: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Iterator[Right]:
    """What S3 asks IAM about one request."""
    for action in S3_ACTIONS[operation]:
        names_version = "versionId" in query and action in _VERSIONED
        yield (action.replace("Object", "ObjectVersion", 1) if names_version else action), bucket
    if operation in _CREATES:
        if "x-amz-tagging" in headers:
            yield "s3:PutObjectTagging", bucket
        if any(name == "x-amz-acl" or name.startswith("x-amz-grant-") for name in headers):
            yield "s3:PutObjectAcl", bucket
    yield from _read_by(operation, bucket, headers)


def _read_by(operation: str, bucket: str, headers: Mapping[str, str]) -> Iterator[Right]:
    """What copies read: the object, and its tags unless they are left behind."""
    source = unquote(headers.get("x-amz-copy-source", "")).removeprefix("/").partition("/")[0]
    if not source:
        return
    yield "s3:GetObject", source
    if operation == "CopyObject" and headers.get("x-amz-tagging-directive", "COPY") == "COPY":
        yield "s3:GetObjectTagging", source
        yield "s3:PutObjectTagging", bucket


@contextmanager
def observed(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[Right]]:
    """The rights for everything that this process calls in the block; the calls themselves are made as ever."""
    seen: set[Right] = set()
    call_s3: Any = S3Client.call
    call_aws: Any = AwsCalls.call
    call_boto: Any = vars(BaseClient)["_make_api_call"]

    async def s3(self: S3Client, operation: str, *words: Any, **more: Any) -> Any:
        headers = dict([*self._headers.get(operation, ()), *more.get("headers", ())])
        seen.update(s3_rights(operation, self.bucket, dict(more.get("query", ())), headers))
        return await call_s3(self, operation, *words, **more)

    async def aws(self: AwsCalls, operation: str, *words: Any, **more: Any) -> Any:
        seen.add((f"{self.service}:{operation}", more.get("SecretId") or more.get("Name") or ""))
        return await call_aws(self, operation, *words, **more)

    def boto(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        service = self.meta.service_model.service_name
        if service not in ("s3", "secretsmanager", "ssm"):  # these come by the two above, or from the test
            seen.add((f"{service}:{operation}", ""))
        return call_boto(self, operation, parameters)

    with monkeypatch.context() as patched:
        patched.setattr(S3Client, "call", s3)
        patched.setattr(AwsCalls, "call", aws)
        patched.setattr(BaseClient, "_make_api_call", boto)
        yield seen


def in_the_code(operations: set[str]) -> set[str]:
    """Those of S3's operations that the code of the stores calls somewhere, as actions."""
    folder = REPOSITORY / "src" / "keepstep" / "stores"
    text = "".join(path.read_text() for path in sorted(Path(folder).glob("s3*.py")))
    return {action for name in operations if re.search(rf'"{name}"', text) for action in S3_ACTIONS[name]}


_PLACES = {
    "local.source": "source",
    "local.target": "target",
    "statement.value[0]": "trash",
    "local.rotated": "rotated",
    "local.parameter": "salt",
    "admin_secret_arn": "others",
    "aws_s3_bucket.audit": "audit",
    "local.bucket_arn": "reports",
}
"""What the tests call the things that modules name."""


def granted(module: str, policies: set[str]) -> set[Right]:
    """The rights of policy documents, also of those that a variable switches on, but for KMS's."""
    return {right for _, rights in _statements(module, policies) for right in rights}


def switched_on(module: str, policies: set[str], words: str) -> set[Right]:
    """As :func:`granted`, with these options in ``sync_params``."""
    held: set[Right] = set()
    for condition, rights in _statements(module, policies):
        if not condition or any(option in words for local, option in _SWITCHES if local in condition):
            held |= rights
    return held


_SWITCHES = [
    ("var.may_delete", "--delete"),
    ("local.has_contents", "--compare checksum"),
    ("local.trash", "--trash"),
    ("local.has_acl", "--acl"),
    ("local.has_acl", "--grants"),
]
"""What a module's statements depend on, and the option that it stands for."""


def _statements(module: str, policies: set[str]) -> Iterator[tuple[str, set[Right]]]:
    """Each statement's condition, if it has one, and its rights."""
    for kind, name, content in resources(module):
        if kind != "data.aws_iam_policy_document" or name not in policies:
            continue
        yield from (("", _rights(each)) for each in content.get("statement", ()))
        for dynamic in content.get("dynamic", ()):
            for each in dynamic.values():
                for inner in each["content"]:
                    yield str(each["for_each"]), _rights(inner)


def _rights(statement: Mapping[str, Any]) -> set[Right]:
    text = str(statement["resources"])
    places = [place for expression, place in _PLACES.items() if expression in text]
    return {(action, place) for action in statement["actions"] if not action.startswith("kms:") for place in places}


_TOKEN = re.compile(r"`(?:([a-z0-9-]+):)?([A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+)`|\"([a-z0-9-]+):([A-Z]\w+)\"")


def documented(path: str, heading: str = "", *, in_json: bool = False) -> set[str]:
    """The actions that a page names below a heading, but for KMS's use of keys.

    ``in_json``: those of its policy documents alone.
    """
    text = (REPOSITORY / path).read_text()
    if heading:
        text = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    if in_json:
        text = "".join(re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    return actions_in(text) - {"kms:Decrypt", "kms:GenerateDataKey"}


def actions_in(text: str) -> set[str]:
    """``service:Action``, and ``Action`` alone, which is the same service's as the one before."""
    found, service = set(), ""
    for match in _TOKEN.finditer(text):
        service = match[1] or match[3] or service
        if service:
            found.add(f"{service}:{match[2] or match[4]}")
    return found

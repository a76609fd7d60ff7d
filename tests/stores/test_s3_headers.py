"""The options as headers: those that the AWS CLI would send, operation by operation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepstep.jobs.sync_options import ACLS
from keepstep.secret import Secret
from keepstep.stores.options import TransferOptions
from keepstep.stores.s3_headers import s3_headers
from tests.servers import Aws

KEYS = st.binary(min_size=32, max_size=32)
NAMES = st.text("abcxyz-/0189", min_size=1, max_size=12)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "acl": st.sampled_from(ACLS),
        "grants": st.dictionaries(
            st.sampled_from(["read", "readacl", "writeacl", "full"]), NAMES.map("id={}".format), min_size=1
        ),
        "sse": st.sampled_from(["AES256", "aws:kms"]),
        "sse_kms_key_id": NAMES,
        "sse_c_key": KEYS,
        "sse_c_copy_source_key": KEYS,
        "storage_class": st.sampled_from(["STANDARD_IA", "GLACIER"]),
        "website_redirect": NAMES.map("/{}".format),
        "request_payer": st.just("requester"),
        "checksum_mode": st.just("ENABLED"),
    },
)
MAPPED = {
    "PutObject": "map_put_object_params",
    "CreateMultipartUpload": "map_create_multipart_upload_params",
    "UploadPart": "map_upload_part_params",
    "CopyObject": "map_copy_object_params",
    "UploadPartCopy": "map_upload_part_copy_params",
    "DeleteObject": "map_delete_object_params",
    "ListObjectsV2": "map_list_objects_v2_params",
}
NEEDED: dict[str, dict[str, Any]] = {
    "UploadPart": {"PartNumber": 1, "UploadId": "u"},
    "UploadPartCopy": {"PartNumber": 1, "UploadId": "u", "CopySource": "b/k"},
    "CopyObject": {"CopySource": "b/k"},
}
OURS = ("x-amz-checksum-crc", "x-amz-content", "x-amz-sdk", "x-amz-copy-source")
"""Headers that are of the request itself; of those that name a copy's source only the key's are of the options."""


def sent_by_aws(client: Any, operation: str, options: dict[str, Any], mapper: str) -> dict[str, str]:
    """The headers that botocore makes of what the AWS CLI makes of its options; nothing is sent."""
    from awscli.customizations.s3.utils import RequestParamsMapper  # type: ignore[import-untyped]
    from botocore.awsrequest import AWSResponse

    caught: list[Any] = []

    def catch(request: Any, **_: Any) -> Any:
        caught.append(request)
        answer: Any = AWSResponse
        return answer(request.url, 200, {}, Empty())

    parameters = {"Bucket": "b", **NEEDED.get(operation, {})}
    if operation != "ListObjectsV2":
        parameters["Key"] = "k"
    getattr(RequestParamsMapper, mapper)(parameters, options)
    client.meta.events.register("before-send.s3", catch)
    getattr(client, name_of(client, operation))(**parameters)
    client.meta.events.unregister("before-send.s3", catch)
    headers = {name.lower(): text(value) for name, value in caught[0].headers.items()}
    return {name: value for name, value in headers.items() if name.startswith("x-amz-") and not is_own(name)}


def name_of(client: Any, operation: str) -> str:
    names: dict[str, str] = client.meta.method_to_api_mapping
    return next(method for method, api in names.items() if api == operation)


def is_own(name: str) -> bool:
    is_key = "server-side-encryption-customer" in name
    return name in ("x-amz-date", "x-amz-security-token") or (name.startswith(OURS) and not is_key)


def text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class Empty:
    """A body with nothing in it."""

    def stream(self, *_: Any, **__: Any) -> list[bytes]:
        return [b"<R><ETag>e</ETag></R>"]

    def read(self, *_: Any) -> bytes:
        return b""


@pytest.fixture
def client(moto: Aws) -> Any:
    return moto.client("s3")


@given(given_options=OPTIONS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("operation", MAPPED)
def test_same_headers_as_the_aws_cli(client: Any, operation: str, given_options: dict[str, Any]) -> None:
    """Whatever is asked for, every operation of a copy carries the headers that the AWS CLI would send."""
    options = dict(given_options)
    cli = dict(options, grants=[f"{name}={who}" for name, who in options.get("grants", {}).items()])
    for name in ("sse_c", "sse_c_copy_source"):
        if f"{name}_key" in options:
            cli[name] = "AES256"
    ours = s3_headers(transfer(options), is_target=operation != "ListObjectsV2")
    assert dict(ours.get(operation, ())) == sent_by_aws(client, operation, cli, MAPPED[operation])


def transfer(options: dict[str, Any]) -> TransferOptions:
    values = dict(options, grants=tuple(options.get("grants", {}).items()))
    renamed = {"sse_kms_key_id": "kms_key", "sse_c_key": "target_key", "sse_c_copy_source_key": "source_key"}
    for old, new in renamed.items():
        if old in values:
            values[new] = values.pop(old)
    for name in ("target_key", "source_key"):
        if name in values:
            values[name] = Secret(values[name])
    return TransferOptions(**values)


def test_reading_an_encrypted_source() -> None:
    """A source is read with its own key, and asked for checksums; the target's key is not shown to it."""
    options = TransferOptions(source_key=Secret(b"s" * 32), target_key=Secret(b"t" * 32), checksum_mode="ENABLED")
    headers = dict(s3_headers(options, is_target=False)["GetObject"])
    assert headers["x-amz-checksum-mode"] == "ENABLED"
    assert headers["x-amz-server-side-encryption-customer-key"] == "c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M="


def test_nothing_asked_for_nothing_sent() -> None:
    """Without options no request carries a header more."""
    assert (s3_headers(TransferOptions(), is_target=True), s3_headers(TransferOptions(), is_target=False)) == (
        {},
        {},
    )

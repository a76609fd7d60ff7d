"""The options of a run as headers of S3's operations: made once, and sent with every request of that name.

Source: the request syntax of each operation in the S3 API reference, and which of them the AWS CLI gives an option
to (awscli/customizations/s3/utils.py, RequestParamsMapper).
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping

from keepstep.secret import Secret
from keepstep.stores.options import TransferOptions

HeaderPair = tuple[str, str]
Headers = tuple[HeaderPair, ...]

_GRANTS = {
    "read": "x-amz-grant-read",
    "readacl": "x-amz-grant-read-acp",
    "writeacl": "x-amz-grant-write-acp",
    "full": "x-amz-grant-full-control",
}
_READS = ("GetObject", "HeadObject")
_CREATES = ("PutObject", "CreateMultipartUpload", "CopyObject")
_PARTS = ("UploadPart", "UploadPartCopy", "CompleteMultipartUpload")
_OTHERS = (
    "ListObjectsV2",
    "ListParts",
    "AbortMultipartUpload",
    "DeleteObject",
    "DeleteObjects",
    "GetObjectTagging",
    "PutObjectTagging",
)


def s3_headers(options: TransferOptions, *, is_target: bool) -> Mapping[str, Headers]:
    """By operation, what one side of a run sends."""
    payer = _said(("x-amz-request-payer", options.request_payer))
    own = customer_key(options.target_key if is_target else options.source_key)
    origin = customer_key(options.source_key, "x-amz-copy-source-server-side-encryption-customer")
    written, checksum = _written(options), _said(("x-amz-checksum-algorithm", options.checksum_algorithm))
    reads = own if is_target else (*own, *_said(("x-amz-checksum-mode", options.checksum_mode)))
    table = dict.fromkeys(_OTHERS, payer)
    table |= dict.fromkeys(_READS, (*payer, *reads))
    table |= dict.fromkeys(_PARTS, (*payer, *own))
    table |= dict.fromkeys(_CREATES, (*payer, *own, *written))
    table["CreateMultipartUpload"] += checksum
    table["CopyObject"] += (*checksum, *origin)
    table["UploadPartCopy"] += origin
    return {name: headers for name, headers in table.items() if headers}


def customer_key(key: Secret | None, prefix: str = "x-amz-server-side-encryption-customer") -> Headers:
    """SSE-C: algorithm, key and the key's MD5 ("Using server-side encryption with customer-provided keys")."""
    if key is None:
        return ()
    raw = key.reveal_bytes()
    digest = hashlib.md5(raw, usedforsecurity=False).digest()
    return (
        (f"{prefix}-algorithm", "AES256"),
        (f"{prefix}-key", b64encode(raw).decode()),
        (f"{prefix}-key-md5", b64encode(digest).decode()),
    )


def _written(options: TransferOptions) -> Headers:
    """What a new object is, besides its bytes and its properties."""
    return (
        *_said(
            ("x-amz-acl", options.acl),
            ("x-amz-storage-class", options.storage_class),
            ("x-amz-website-redirect-location", options.website_redirect),
            ("x-amz-server-side-encryption", options.sse),
            ("x-amz-server-side-encryption-aws-kms-key-id", options.kms_key),
        ),
        *((_GRANTS[permission], grantees) for permission, grantees in options.grants),
    )


def _said(*pairs: HeaderPair) -> Headers:
    return tuple(pair for pair in pairs if pair[1])

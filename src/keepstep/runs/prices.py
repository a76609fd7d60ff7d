"""Estimates the cost of requests from list prices, so that a schedule that is too frequent shows before the bill.

Estimates: the first tier of each cloud's price list (AWS us-east-1, S3 Standard and Secrets Manager; OCI, the same
in every region), without free tiers, taxes, traffic and storage. Sources: aws.amazon.com/s3/pricing,
aws.amazon.com/secrets-manager/pricing, oracle.com/cloud/price-list (Object Storage, requests).
"""

from __future__ import annotations

from collections.abc import Mapping

_S3_WRITE = 0.005 / 1000
_S3_READ = 0.0004 / 1000
_SECRET = 0.05 / 10_000
_OCI = 0.0034 / 10_000

_AWS = {
    "ListObjectsV2": _S3_WRITE,
    "ListObjectVersions": _S3_WRITE,
    "ListMultipartUploads": _S3_WRITE,
    "ListParts": _S3_WRITE,
    "PutObject": _S3_WRITE,
    "CopyObject": _S3_WRITE,
    "CreateMultipartUpload": _S3_WRITE,
    "UploadPart": _S3_WRITE,
    "UploadPartCopy": _S3_WRITE,
    "CompleteMultipartUpload": _S3_WRITE,
    "GetObject": _S3_READ,
    "HeadObject": _S3_READ,
    "HeadBucket": _S3_READ,
    "GetObjectTagging": _S3_READ,
    "GetSecretValue": _SECRET,
    "DescribeSecret": _SECRET,
    "PutSecretValue": _SECRET,
    "UpdateSecretVersionStage": _SECRET,
}
_OCI_READS_AND_WRITES = ("ListObjects", "PutObject", "GetObject", "HeadObject", "CopyObject", "RenameObject")
_OCI_PARTS = ("CreateMultipartUpload", "UploadPart", "CommitMultipartUpload", "ListMultipartUploads")


def price_of(requests: Mapping[str, int], *, clouds: str) -> float:
    """The price in US dollars of requests to the ``clouds``, ``s3`` or ``oci``: some names are in both.

    If both were used, a request whose name is in both counts at the higher price.
    """
    total = 0.0
    for name, count in requests.items():
        prices = [_AWS.get(name, 0.0)] if "oci" not in clouds or "s3" in clouds else []
        if "oci" in clouds and name in (*_OCI_READS_AND_WRITES, *_OCI_PARTS):
            prices.append(_OCI)
        total += count * max(prices, default=0.0)
    return total

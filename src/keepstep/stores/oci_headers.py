"""The options of a run as headers of OCI Object Storage's operations, and what this service has no word for.

Source: the headers of each operation in the API reference (PutObject, CreateMultipartUpload, UploadPart, GetObject,
CopyObject). Options have the AWS CLI's names; where OCI has the same thing under another name, this translates.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping

from keepstep.errors import Misuse
from keepstep.secret import Secret
from keepstep.stores.options import TransferOptions

HeaderPair = tuple[str, str]
Headers = tuple[HeaderPair, ...]

TIERS = {
    "STANDARD": "Standard",
    "STANDARD_IA": "InfrequentAccess",
    "GLACIER": "Archive",
    "DEEP_ARCHIVE": "Archive",
}
"""Storage classes that OCI has too, as its storage tiers."""
CHECKSUMS = ("CRC32C", "SHA256")
"""Of the AWS CLI's checksum algorithms those that OCI computes too."""


def oci_headers(options: TransferOptions, *, is_target: bool) -> Mapping[str, Headers]:
    """By operation, what one side of a run sends."""
    own = _customer_key(options.target_key)
    kms: Headers = (("opc-sse-kms-key-id", options.kms_key),) if options.kms_key else ()
    checksum = options.checksum_algorithm
    algorithm: Headers = (("opc-checksum-algorithm", checksum),) if checksum else ()
    origin = _customer_key(options.source_key, "opc-source-sse-customer")
    if not is_target:
        key = _customer_key(options.source_key)
        # A copy is asked for at the bucket that it is made from.
        table = {"GetObject": key, "HeadObject": key, "CopyObject": (*own, *kms, *origin)}
        return {name: headers for name, headers in table.items() if headers}
    tier = storage_tier(options.storage_class)
    table = {
        "PutObject": (*own, *kms, *((("storage-tier", tier),) if tier else ())),
        "CreateMultipartUpload": (*own, *kms, *algorithm),
        "UploadPart": own,
        "GetObject": own,
        "HeadObject": own,
    }
    return {name: headers for name, headers in table.items() if headers}


def storage_tier(storage_class: str) -> str:
    """OCI's name of a storage class; empty when none was asked for. Raises :class:`Misuse`."""
    if not storage_class:
        return ""
    named = {tier.lower(): tier for tier in TIERS.values()}
    tier = TIERS.get(storage_class) or named.get(storage_class.lower())
    if tier is None:
        raise Misuse(
            f"--storage-class {storage_class}: OCI Object Storage has no such storage tier",
            hint="it has " + ", ".join(f"{theirs} ({ours})" for ours, theirs in TIERS.items()),
        )
    return tier


def _customer_key(key: Secret | None, prefix: str = "opc-sse-customer") -> Headers:
    """SSE-C: algorithm, key and the key's SHA-256 ("Using Your Own Keys in Object Storage")."""
    if key is None:
        return ()
    raw = key.reveal_bytes()
    return (
        (f"{prefix}-algorithm", "AES256"),
        (f"{prefix}-key", b64encode(raw).decode()),
        (f"{prefix}-key-sha256", b64encode(hashlib.sha256(raw).digest()).decode()),
    )

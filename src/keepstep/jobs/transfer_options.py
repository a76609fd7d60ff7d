"""Converts the options of a sync to object and request options, and refuses unsupported ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepstep.errors import Misuse
from keepstep.stores.address import Address
from keepstep.stores.interface import Properties
from keepstep.stores.options import TransferOptions

if TYPE_CHECKING:
    from keepstep.jobs.sync_params import SyncParams

_HEADERS = (
    "content_type",
    "cache_control",
    "content_disposition",
    "content_encoding",
    "content_language",
    "expires",
    "metadata",
)
_S3_TARGET = ("acl", "grants", "website_redirect", "expires")
"""Options that only S3 supports for objects."""


def transfer_options(given: SyncParams, source: Address, target: Address) -> TransferOptions:
    """Raises :class:`Misuse` for options that contradict each other, or that a place does not support."""
    _check(given, source, target)
    own, origin = given.sse_c_key, given.sse_c_copy_source_key
    return TransferOptions(
        given=Properties(**{name: value for name in _HEADERS if (value := getattr(given, name))}),
        guesses_type=not given.no_guess_mime_type,
        copy_props=given.copy_props or "default",
        metadata_directive=given.metadata_directive,
        acl=given.acl or "",
        grants=tuple(dict(given.grants).items()),
        sse=given.sse or "",
        kms_key=given.sse_kms_key_id or "",
        source_key=own if target.kind == "local" else origin,
        target_key=own if target.kind != "local" else None,
        storage_class=given.storage_class or "",
        website_redirect=given.website_redirect or "",
        request_payer=given.request_payer or "",
        checksum_algorithm=given.checksum_algorithm or "",
        checksum_mode=given.checksum_mode or "",
        page_size=min(given.page_size or 1000, 1000),
        takes_archived=given.force_glacier_transfer,
        follows_links=given.follow_symlinks,
        escapes_keys=given.escape_keys,
        tells_contents=given.compare == "checksum",
    )


def _check(given: SyncParams, source: Address, target: Address) -> None:
    is_copy = "local" not in (source.kind, target.kind)
    _check_keys(given, "sse_c")
    _check_keys(given, "sse_c_copy_source")
    if given.sse_c_copy_source and not is_copy:
        raise Misuse("--sse-c-copy-source is for copies from one bucket to another", hint="name the key by --sse-c")
    if given.checksum_algorithm and target.kind == "local":
        raise Misuse(
            "--checksum-algorithm applies only to uploads and copies", hint="for downloads use --checksum-mode"
        )
    if given.checksum_mode and (source.kind == "local" or is_copy):
        raise Misuse(
            "--checksum-mode applies only to downloads", hint="for uploads and copies use --checksum-algorithm"
        )
    if target.kind == "s3" and given.storage_class in ("Standard", "InfrequentAccess", "Archive"):
        raise Misuse(
            f"--storage-class {given.storage_class} exists only on OCI",
            hint="S3 has STANDARD, STANDARD_IA, GLACIER",
        )
    if given.no_verify_ssl:
        raise Misuse(
            "--no-verify-ssl is refused: certificates are always verified", hint="name your own CA with --ca-bundle"
        )
    if "oci" in (source.kind, target.kind):
        _check_oci(given, source, target)


def _check_keys(given: SyncParams, name: str) -> None:
    option = "--" + name.replace("_", "-")
    if bool(getattr(given, name)) != bool(getattr(given, f"{name}_key")):
        raise Misuse(f"{option} and {option}-key belong together", hint="give both, or neither")


def _check_oci(given: SyncParams, source: Address, target: Address) -> None:
    """If one side is OCI, refuses an option that neither side supports."""
    is_s3_target = target.kind == "s3"
    refused = [name for name in _S3_TARGET if getattr(given, name) and not is_s3_target]
    if given.request_payer and "s3" not in (source.kind, target.kind):
        refused.append("request_payer")
    if refused:
        names = ", ".join("--" + name.replace("_", "-") for name in refused)
        raise Misuse(f"{names}: OCI Object Storage has no equivalent", hint="omit it; see docs/sync.md")
    if target.kind == "oci":
        _check_oci_target(given)


def _check_oci_target(given: SyncParams) -> None:
    from keepstep.stores.oci_headers import CHECKSUMS, storage_tier

    storage_tier(given.storage_class or "")
    if (algorithm := given.checksum_algorithm) and algorithm not in CHECKSUMS:
        known = " and ".join(CHECKSUMS)
        raise Misuse(f"--checksum-algorithm {algorithm}: OCI does not support it", hint=f"it has {known}")
    if given.sse == "aws:kms" and not given.sse_kms_key_id:
        raise Misuse("--sse aws:kms: OCI has no AWS keys", hint="name a key by its OCID: --sse-kms-key-id")
    if given.sse == "AES256" and given.sse_kms_key_id:
        raise Misuse("--sse AES256 and --sse-kms-key-id contradict each other", hint="omit one of them")

"""Every option of ``keepstep sync``, and so of a job's ``params``.

These are keepstep's own options, and those of ``aws s3 sync`` and ``aws`` with the names, values and meaning of
https://docs.aws.amazon.com/cli/latest/reference/s3/sync.html. Options that only
shape the AWS CLI's own output are accepted and have no effect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from keepstep.jobs.option_parsing import OptionalValue
from keepstep.jobs.option_values import DeleteCap, Duration, Expires, Grants, Key, Metadata, Rate, Text
from keepstep.objects.case import OnConflict
from keepstep.stores.checksums import ALGORITHMS

F = TypeVar("F", bound=Callable[..., Any])

ACLS = (
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
    "log-delivery-write",
)
CLASSES = (
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
    "Standard",
    "InfrequentAccess",
    "Archive",
)
"""S3's storage classes, and OCI's storage tiers."""
NO_EFFECT = {
    "output": "--output",
    "query": "--query",
    "color": "--color",
    "no_paginate": "--no-paginate",
    "no_cli_pager": "--no-cli-pager",
    "cli_binary_format": "--cli-binary-format",
}
"""Options that only shape the AWS CLI's output, by parameter."""


def _choice(*words: str) -> click.Choice[str]:
    return click.Choice(words)


def _optional(name: str, value: str, **rest: Any) -> Callable[[F], F]:
    """An option whose value may be omitted, because it has only one sensible value."""
    return click.option(name, cls=OptionalValue, value=value, **rest)


_OWN = (
    click.option(
        "--delete", is_flag=True, help="Delete objects that the source does not have, within --max-delete."
    ),
    click.option("--exclude", metavar="PATTERN", multiple=True, help="Exclude keys that match; may be repeated."),
    click.option(
        "--include",
        metavar="PATTERN",
        multiple=True,
        help="Re-include excluded keys; the last matching pattern wins.",
    ),
    click.option("--dryrun", is_flag=True, help="Show what would be done without doing it."),
    click.option("--size-only", is_flag=True, help="Compare sizes only, like --compare size."),
    click.option(
        "--exact-timestamps",
        is_flag=True,
        help="Downloads: also transfer objects of equal size whose times differ.",
    ),
    click.option("--no-overwrite", is_flag=True, help="Never overwrite existing objects."),
    click.option(
        "--follow-symlinks/--no-follow-symlinks",
        default=True,
        help="Uploads: follow symbolic links [default: follow].",
    ),
    click.option(
        "--case-conflict",
        type=click.Choice([each.value for each in OnConflict]),
        default="ignore",
        help="Downloads whose names differ only in case [default: ignore].",
    ),
    click.option("--only-show-errors", is_flag=True, help="Print errors and warnings only."),
    click.option(
        "--progress-frequency",
        type=click.IntRange(0),
        metavar="SECONDS",
        help="Minimum time between progress updates.",
    ),
    click.option(
        "--progress-multiline", is_flag=True, help="Write progress as lines to stderr, even without a terminal."
    ),
    click.option(
        "--compare",
        type=click.Choice(["aws", "size", "checksum"]),
        default="aws",
        help="How objects are compared: size and time like aws s3 sync, size only, or contents [default: aws].",
    ),
    click.option("--explain", is_flag=True, help="Show for each key which rule applied."),
    click.option(
        "--max-delete",
        type=DeleteCap(),
        metavar="N|N%",
        help="Refuse to delete more objects than this [default: 50%].",
    ),
    click.option("--allow-empty-source", is_flag=True, help="Allow an empty source to empty the target."),
    click.option(
        "--full-every",
        type=Duration(),
        metavar="TIME",
        help="Cost reports: interval between full listings [default: 24h].",
    ),
    click.option(
        "--overlap",
        type=Duration(),
        metavar="TIME",
        help="Cost reports: how late a report may arrive [default: 5d].",
    ),
    click.option(
        "--escape-keys", is_flag=True, help="Write keys that are not valid file names under escaped names."
    ),
    click.option("--trash", metavar="ADDRESS", help="Move deleted and overwritten objects to this address."),
    click.option("--bandwidth", type=Rate(), help="Bandwidth limit, for example 50MiB/s."),
    click.option(
        "--chmod",
        metavar="MODE",
        help="Set this mode on everything under a local target after the run, like chmod -R.",
    ),
    click.option(
        "--chown",
        metavar="USER[:GROUP]",
        help="Set this owner on everything under a local target after the run, like chown -R.",
    ),
    click.option("--jobs", type=click.IntRange(1, 1024), help="Maximum concurrent transfers [default: automatic]."),
)
_OBJECTS = (
    click.option("--content-type", type=Text(), help="Content type of every object, instead of a guess."),
    click.option("--no-guess-mime-type", is_flag=True, help="Do not guess content types from file names."),
    click.option("--cache-control", type=Text(), help="Header Cache-Control of every object."),
    click.option("--content-disposition", type=Text(), help="Header Content-Disposition of every object."),
    click.option("--content-encoding", type=Text(), help="Header Content-Encoding of every object."),
    click.option("--content-language", type=Text(), help="Header Content-Language of every object."),
    click.option("--expires", type=Expires(), help="S3: when caches must drop the object."),
    click.option("--metadata", type=Metadata(), help="Metadata for every object: name=value,... or JSON."),
    click.option(
        "--copy-props",
        type=_choice("none", "metadata-directive", "default"),
        help="What copies keep: nothing, headers and metadata, or tags as well (default).",
    ),
    click.option(
        "--metadata-directive",
        type=_choice("COPY", "REPLACE"),
        help="Copies keep headers and metadata (COPY) or get the given ones (REPLACE). Overrides --copy-props.",
    ),
    click.option(
        "--acl",
        type=_choice(*ACLS),
        metavar="ACL",
        help="S3: canned ACL for every object: " + ", ".join(ACLS) + ".",
    ),
    click.option(
        "--grants",
        type=Grants(),
        multiple=True,
        help="S3: permission=grantee ...; must come last on the command line.",
    ),
    click.option("--website-redirect", help="S3: redirect requests for the object to this address."),
    click.option(
        "--storage-class",
        type=_choice(*CLASSES),
        metavar="CLASS",
        help="S3: " + ", ".join(CLASSES[:8]) + "; OCI: Standard, InfrequentAccess, Archive or S3's names for them.",
    ),
)
_ENCRYPTION = (
    _optional(
        "--sse",
        "AES256",
        type=_choice("AES256", "aws:kms"),
        help="Server-side encryption; AES256 if the value is omitted.",
    ),
    click.option("--sse-kms-key-id", type=Text(), help="KMS key (S3), or OCID of a vault's key (OCI)."),
    _optional("--sse-c", "AES256", type=_choice("AES256"), help="Encrypt with a key of your own (SSE-C)."),
    click.option("--sse-c-key", type=Key(), help="The SSE-C key, 32 bytes: fileb://path."),
    _optional(
        "--sse-c-copy-source", "AES256", type=_choice("AES256"), help="Copies: the source is encrypted with SSE-C."
    ),
    click.option(
        "--sse-c-copy-source-key", type=Key(), help="Copies: the source's SSE-C key, 32 bytes: fileb://path."
    ),
)
_REQUESTS = (
    _optional(
        "--request-payer",
        "requester",
        type=_choice("requester"),
        help="S3: accept the charges of a requester-pays bucket.",
    ),
    click.option(
        "--checksum-algorithm",
        type=_choice(*ALGORITHMS),
        metavar="NAME",
        help="Uploads and copies: checksum to store with each object: " + ", ".join(ALGORITHMS) + ".",
    ),
    click.option("--checksum-mode", type=_choice("ENABLED"), help="Downloads: verify stored checksums."),
    click.option("--page-size", type=click.IntRange(1), help="Keys per page of a listing [default: 1000]."),
    click.option("--ignore-glacier-warnings", is_flag=True, help="Skip archived objects without a warning."),
    click.option("--force-glacier-transfer", is_flag=True, help="Request archived objects nevertheless."),
)
_GLOBAL = (
    click.option("--profile", help="AWS profile to use."),
    click.option("--region", help="AWS region to use."),
    click.option("--source-region", help="AWS region of the source bucket, if it differs."),
    click.option("--endpoint-url", help="Address of an S3-compatible store."),
    click.option("--ca-bundle", help="PEM file of CA certificates to trust."),
    click.option(
        "--no-sign-request", is_flag=True, help="Send requests to S3 without credentials (public buckets)."
    ),
    click.option(
        "--no-verify-ssl", is_flag=True, help="Refused: certificates are always verified; see --ca-bundle."
    ),
    click.option(
        "--cli-read-timeout", type=click.IntRange(0), help="Read timeout in seconds; 0 means none [default: 60]."
    ),
    click.option(
        "--cli-connect-timeout",
        type=click.IntRange(0),
        help="Connect timeout in seconds; 0 means none [default: 15].",
    ),
    click.option("--debug", is_flag=True, help="Same as --verbose.", hidden=True),
    click.option(
        "--output",
        type=_choice("json", "text", "table", "yaml", "yaml-stream", "off"),
        help="No effect.",
        hidden=True,
    ),
    click.option("--query", help="No effect.", hidden=True),
    click.option("--color", type=_choice("on", "off", "auto"), help="No effect.", hidden=True),
    click.option("--no-paginate", is_flag=True, help="No effect: listings are always complete.", hidden=True),
    click.option("--no-cli-pager", is_flag=True, help="No effect.", hidden=True),
    click.option("--cli-binary-format", help="No effect.", hidden=True),
)


def sync_options(command: F) -> F:
    """Adds all options of ``keepstep sync`` to a command."""
    for option in reversed((*_OWN, *_OBJECTS, *_ENCRYPTION, *_REQUESTS, *_GLOBAL)):
        command = option(command)
    return command

"""Every option of ``keepstep sync``, and so of a job's ``params``.

They are keepstep's own, and those of ``aws s3 sync`` and of ``aws`` with the names, values and meaning of
https://docs.aws.amazon.com/cli/latest/reference/s3/sync.html. Those that shape nothing but the AWS CLI's own output
are accepted and have no effect.
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
"""Parameter to option: what shapes only the AWS CLI's output."""


def _choice(*words: str) -> click.Choice[str]:
    return click.Choice(words)


def _optional(name: str, value: str, **rest: Any) -> Callable[[F], F]:
    """An option whose value may be left out, for there is only one that makes sense."""
    return click.option(name, cls=OptionalValue, value=value, **rest)


_OWN = (
    click.option("--delete", is_flag=True, help="Deletes keys that the source does not have, within --max-delete."),
    click.option("--exclude", metavar="PATTERN", multiple=True, help="Excludes keys that match; may be repeated."),
    click.option(
        "--include",
        metavar="PATTERN",
        multiple=True,
        help="Re-includes excluded keys; the last matching pattern wins.",
    ),
    click.option("--dryrun", is_flag=True, help="Shows what would be done, without doing it."),
    click.option("--size-only", is_flag=True, help="Compares only sizes."),
    click.option("--exact-timestamps", is_flag=True, help="Downloads: objects of equal size whose times differ."),
    click.option("--no-overwrite", is_flag=True, help="Never overwrites existing objects."),
    click.option(
        "--follow-symlinks/--no-follow-symlinks", default=True, help="Uploads: whether links are followed."
    ),
    click.option(
        "--case-conflict",
        type=click.Choice([each.value for each in OnConflict]),
        default="ignore",
        help="Downloads whose names differ only in case [ignore].",
    ),
    click.option("--only-show-errors", is_flag=True, help="Prints only errors and warnings."),
    click.option(
        "--progress-frequency", type=click.IntRange(0), metavar="SECONDS", help="Shortest time between updates."
    ),
    click.option(
        "--progress-multiline", is_flag=True, help="Progress as lines on stderr, even without a terminal."
    ),
    click.option(
        "--compare",
        type=click.Choice(["aws", "size", "checksum"]),
        default="aws",
        help="What makes an object differ: size and time as in aws s3 sync, size, or contents [aws].",
    ),
    click.option("--explain", is_flag=True, help="Names for each key the rule that decided."),
    click.option(
        "--max-delete", type=DeleteCap(), metavar="N|N%", help="Refuses to delete more than this [default: 50%]."
    ),
    click.option("--allow-empty-source", is_flag=True, help="Allows an empty source to empty the target."),
    click.option(
        "--full-every", type=Duration(), metavar="TIME", help="Cost reports: how often all are listed [24h]."
    ),
    click.option("--overlap", type=Duration(), metavar="TIME", help="Cost reports: how late one may come [5d]."),
    click.option(
        "--escape-keys", is_flag=True, help="Writes keys that are not valid file names under escaped names."
    ),
    click.option("--trash", metavar="ADDRESS", help="Moves deleted and overwritten objects there."),
    click.option("--bandwidth", type=Rate(), help="Bandwidth limit, for example 50MiB/s."),
    click.option(
        "--chmod", metavar="MODE", help="Mode of everything under a local target after the run, as for chmod -R."
    ),
    click.option("--chown", metavar="USER[:GROUP]", help="Owner of everything under a local target after the run."),
    click.option("--jobs", type=click.IntRange(1, 1024), help="Maximum concurrent transfers [default: automatic]."),
)
_OBJECTS = (
    click.option("--content-type", type=Text(), help="Type of every object, instead of the guessed one."),
    click.option("--no-guess-mime-type", is_flag=True, help="No type is guessed from a file's name."),
    click.option("--cache-control", type=Text(), help="Header of every object."),
    click.option("--content-disposition", type=Text(), help="Header of every object."),
    click.option("--content-encoding", type=Text(), help="Header of every object."),
    click.option("--content-language", type=Text(), help="Header of every object."),
    click.option("--expires", type=Expires(), help="S3: when caches forget the object."),
    click.option("--metadata", type=Metadata(), help="Metadata of every object: name=value,... or JSON."),
    click.option(
        "--copy-props",
        type=_choice("none", "metadata-directive", "default"),
        help="Copies keep nothing, headers and metadata, or those and tags (default).",
    ),
    click.option(
        "--metadata-directive",
        type=_choice("COPY", "REPLACE"),
        help="Copies keep headers and metadata, or get the given ones; --copy-props then counts no more.",
    ),
    click.option("--acl", type=_choice(*ACLS), help="S3: canned ACL of every object."),
    click.option("--grants", type=Grants(), multiple=True, help="S3: permission=grantee ..., last on the line."),
    click.option("--website-redirect", help="S3: where a website sends who asks for the object."),
    click.option(
        "--storage-class",
        type=_choice(*CLASSES),
        metavar="CLASS",
        help="S3: " + ", ".join(CLASSES[:8]) + "; OCI: Standard, InfrequentAccess, Archive or S3's names for them.",
    ),
)
_ENCRYPTION = (
    _optional("--sse", "AES256", type=_choice("AES256", "aws:kms"), help="Encryption by the store [AES256]."),
    click.option("--sse-kms-key-id", type=Text(), help="Key in KMS (S3), or OCID of a key in a vault (OCI)."),
    _optional("--sse-c", "AES256", type=_choice("AES256"), help="Encryption with a key of your own."),
    click.option("--sse-c-key", type=Key(), help="That key, 32 bytes: fileb://path."),
    _optional("--sse-c-copy-source", "AES256", type=_choice("AES256"), help="Copies: the source's encryption."),
    click.option("--sse-c-copy-source-key", type=Key(), help="The key of the source, 32 bytes: fileb://path."),
)
_REQUESTS = (
    _optional("--request-payer", "requester", type=_choice("requester"), help="S3: we pay for the requests."),
    click.option("--checksum-algorithm", type=_choice(*ALGORITHMS), help="Uploads, copies: checksum to store."),
    click.option("--checksum-mode", type=_choice("ENABLED"), help="Downloads: stored checksums are verified."),
    click.option("--page-size", type=click.IntRange(1), help="Keys in one answer to a listing [1000]."),
    click.option("--ignore-glacier-warnings", is_flag=True, help="Passes over archived objects silently."),
    click.option("--force-glacier-transfer", is_flag=True, help="Asks for archived objects all the same."),
)
_GLOBAL = (
    click.option("--profile", help="AWS profile."),
    click.option("--region", help="AWS region."),
    click.option("--source-region", help="AWS region of the source bucket, when it differs."),
    click.option("--endpoint-url", help="Address of an S3-compatible store."),
    click.option("--ca-bundle", help="PEM file with the CA certificates to trust."),
    click.option("--no-sign-request", is_flag=True, help="Public buckets: asks S3 without credentials."),
    click.option("--no-verify-ssl", is_flag=True, help="Refused: TLS is always verified; see --ca-bundle."),
    click.option("--cli-read-timeout", type=click.IntRange(0), help="Longest silence, seconds [60]; 0: no limit."),
    click.option("--cli-connect-timeout", type=click.IntRange(0), help="To connect, seconds [15]; 0: no limit."),
    click.option("--debug", is_flag=True, help="As --verbose."),
    click.option(
        "--output", type=_choice("json", "text", "table", "yaml", "yaml-stream", "off"), help="No effect."
    ),
    click.option("--query", help="No effect."),
    click.option("--color", type=_choice("on", "off", "auto"), help="No effect."),
    click.option("--no-paginate", is_flag=True, help="No effect: listings are always read to their end."),
    click.option("--no-cli-pager", is_flag=True, help="No effect."),
    click.option("--cli-binary-format", help="No effect."),
)


def sync_options(command: F) -> F:
    """All of them, in this order in ``--help``."""
    for option in reversed((*_OWN, *_OBJECTS, *_ENCRYPTION, *_REQUESTS, *_GLOBAL)):
        command = option(command)
    return command

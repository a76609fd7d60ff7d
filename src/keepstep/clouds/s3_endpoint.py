"""Where a bucket is: the address that the AWS CLI and boto3 would send a request for it to.

Source: "Methods for accessing a general purpose bucket" in the S3 user guide, and botocore's endpoint rules for
S3; the tests compare with the address that botocore sends to. One difference: us-east-1 is always addressed by
its own name, as the AWS CLI v2 does, and never as ``s3.amazonaws.com``.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from keepstep.errors import ConfigError, Unsupported

_HOST_LABEL = re.compile(r"(?=.{3,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z")
_REGION = re.compile(r"(?=.{3,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z")
"""What may be part of a host; whether it is a region is for the resolver to say."""
_HOST_NAME = re.compile(r"(?=.{3,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\Z")


_AWS = re.compile(
    r"\.(?:amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|api\.aws"
    r"|c2s\.ic\.gov|sc2s\.sgov\.gov|csp\.hci\.ic\.gov|cloud\.adc-e\.uk)(?::[0-9]+)?\Z"
)
"""The DNS suffixes of its partitions (botocore's partitions.json)."""


@dataclass(frozen=True, slots=True)
class S3Endpoint:
    """The raw path of a key is ``base + "/" + key``; of the bucket itself ``base or "/"``."""

    scheme: str
    host: str
    """Value of the host header; with the port where it is not the scheme's own."""
    base: str
    """Raw path in front of every key: empty, or ``/bucket`` in path style."""
    region: str
    """The region that requests are signed for."""

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def is_of_aws(self) -> bool:
        """Whether AWS itself is there, and not another store that speaks S3."""
        return _AWS.search(self.host) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Facts:
    """What decides about a bucket's address."""

    region: str
    url: str | None = None
    """An endpoint of the user's; FIPS, dual stack and acceleration then mean nothing."""
    suffix: str = "amazonaws.com"
    """DNS suffix of the region's partition."""
    addressing_style: str = "auto"
    """``auto``, ``virtual`` or ``path``."""
    dualstack: bool = False
    fips: bool = False
    accelerate: bool = False


def s3_endpoint(bucket: str, facts: S3Facts) -> S3Endpoint:
    """The address of ``bucket``, a bucket's name or an access point's alias.

    Raises :class:`Unsupported` for ARNs and directory buckets, :class:`ConfigError` for what is no address.
    """
    if bucket.startswith("arn:"):
        raise Unsupported(f"not a bucket's name: {bucket}", hint="write the access point's alias (…-s3alias)")
    if bucket.endswith("--x-s3"):
        raise Unsupported(f"directory buckets (S3 Express One Zone) are not supported: {bucket}")
    if "/" in bucket or not bucket:
        raise ConfigError(f"not a bucket's name: {bucket!r}")
    if facts.url:
        return _at_users_endpoint(bucket, facts, facts.url)
    host, is_virtual = _aws_host(bucket, facts)
    return S3Endpoint("https", host, "" if is_virtual else f"/{bucket}", facts.region)


def _aws_host(bucket: str, facts: S3Facts) -> tuple[str, bool]:
    if not _REGION.match(facts.region):
        raise ConfigError(
            f"not an AWS region: {facts.region!a}", hint="see AWS_REGION, --region and region in the profile"
        )
    is_virtual = _HOST_LABEL.match(bucket) is not None and (facts.addressing_style != "path" or facts.accelerate)
    if facts.fips and facts.suffix.endswith(".cn"):
        raise ConfigError(f"S3 has no FIPS endpoints in {facts.region}", hint="see AWS_USE_FIPS_ENDPOINT")
    stack = ".dualstack" if facts.dualstack else ""
    if facts.accelerate and is_virtual:
        return f"{bucket}.s3-accelerate{stack}.{facts.suffix}", True
    host = f"s3{'-fips' if facts.fips else ''}{stack}.{facts.region}.{facts.suffix}"
    return (f"{bucket}.{host}", True) if is_virtual else (host, False)


def _at_users_endpoint(bucket: str, facts: S3Facts, url: str) -> S3Endpoint:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"not an endpoint address: {url}", hint="write it as https://host[:port]")
    host, base = _authority(url), parts.path.rstrip("/")
    if facts.addressing_style == "virtual" and _may_be_host(bucket, parts.scheme, parts.hostname):
        return S3Endpoint(parts.scheme, f"{bucket}.{host}", base, facts.region)
    return S3Endpoint(parts.scheme, host, f"{base}/{bucket}", facts.region)


def _may_be_host(bucket: str, scheme: str, hostname: str) -> bool:
    """A dot in the name breaks the match with a wildcard certificate; an IP address has no names below it."""
    if (_HOST_NAME if scheme == "http" else _HOST_LABEL).match(bucket) is None:
        return False
    try:
        ipaddress.ip_address(hostname)
    except ValueError:
        return True
    return False


def _authority(url: str) -> str:
    """Host and port without user and password, the default port left out."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2].lower()
    default = {"http": ":80", "https": ":443"}[parts.scheme]
    return netloc.removesuffix(default)

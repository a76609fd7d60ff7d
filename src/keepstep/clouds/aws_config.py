"""What the AWS configuration says next to credentials: region, CA, the S3 block, and where buckets are."""

from __future__ import annotations

import os
import re
from functools import cached_property
from urllib.parse import urlsplit

from keepstep.clouds.aws_chain import AwsSettings, open_session
from keepstep.clouds.aws_profile import AwsProfile, is_true
from keepstep.clouds.s3_endpoint import S3Endpoint, S3Facts, s3_endpoint
from keepstep.errors import ConfigError

_COMMON = re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx|us-gov)-[a-z]+-\d+")
"""Regions of AWS's own partition and of GovCloud, whose names end in ``amazonaws.com``; others are looked up."""


_AWS_HOST = re.compile(r"\.amazonaws\.com(\.cn)?\Z")


class AwsConfig:
    """Read from the variables and files of the AWS CLI, when first asked; no network.

    Every question raises :class:`ConfigError` when the profile does not exist or a file cannot be parsed.
    """

    def __init__(self, settings: AwsSettings) -> None:
        self.settings = settings

    @cached_property
    def profile(self) -> AwsProfile:
        return AwsProfile(self.settings.profile)

    @property
    def region(self) -> str | None:
        """From the settings, AWS_REGION, AWS_DEFAULT_REGION or the profile, in this order."""
        explicit = self.settings.region or os.environ.get("AWS_REGION", "").strip()
        return explicit or self.profile.text("region", "AWS_DEFAULT_REGION")

    @property
    def ca_bundle(self) -> str | None:
        """Path of a CA bundle: settings, AWS_CA_BUNDLE, profile, REQUESTS_CA_BUNDLE. None means the system's."""
        path = self.settings.ca_bundle or self.profile.text("ca_bundle", "AWS_CA_BUNDLE")
        path = path or os.environ.get("REQUESTS_CA_BUNDLE")
        if path and not os.path.exists(path):
            raise ConfigError(f"the CA bundle {path} does not exist", hint="see AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE")
        return path or None

    @property
    def s3_options(self) -> dict[str, str]:
        """The profile's ``s3 =`` block as it is written: ``max_concurrent_requests``, ``max_bandwidth`` ..."""
        return self.profile.block("s3")

    @property
    def s3_url(self) -> str | None:
        """The user's own address of S3, None where AWS's is meant.

        botocore's order behind ``--endpoint-url``: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's section of
        ``services``, its ``endpoint_url``; none of them with AWS_IGNORE_CONFIGURED_ENDPOINT_URLS.
        """
        if self.settings.endpoint_url:
            return self.settings.endpoint_url
        profile = self.profile
        if profile.flag("ignore_configured_endpoint_urls", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
            return None
        variables = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return variables or profile.service("s3").get("endpoint_url") or profile.written("endpoint_url")

    @property
    def s3_origin(self) -> str:
        """The store that is meant where that is not AWS: its host and path, and whose buckets are meant there.

        Names of buckets are unique on AWS; elsewhere they may be each account's own.
        """
        url = urlsplit(self.s3_url or "")
        host = url.netloc.rpartition("@")[2].lower().removesuffix(":443" if url.scheme == "https" else ":80")
        if not host or _AWS_HOST.search(url.hostname or ""):
            return ""
        keys = None if self.settings.role_arn else self.profile.plain_credentials()
        who = keys.access_key if keys else " ".join((self.settings.profile or "", *self.settings.role_arn)).strip()
        return f"{host}{url.path.rstrip('/')} as {who}"

    def s3_endpoint(self, bucket: str, region: str | None = None) -> S3Endpoint:
        """Where ``bucket`` is. ``region`` is the bucket's own, when it is known; else the configured one, else
        us-east-1."""
        return s3_endpoint(bucket, self._s3_facts(region or self.region or "us-east-1"))

    def _s3_facts(self, region: str) -> S3Facts:
        profile, options = self.profile, self.s3_options
        is_dual = profile.flag("use_dualstack_endpoint", "AWS_USE_DUALSTACK_ENDPOINT")
        return S3Facts(
            region=region,
            url=self.s3_url,
            suffix=self._dns_suffix(region),
            addressing_style=options.get("addressing_style") or "auto",
            dualstack=is_dual or is_true(options.get("use_dualstack_endpoint")),
            fips=profile.flag("use_fips_endpoint", "AWS_USE_FIPS_ENDPOINT"),
            accelerate=is_true(options.get("use_accelerate_endpoint")),
        )

    def _dns_suffix(self, region: str) -> str:
        if _COMMON.fullmatch(region):
            return "amazonaws.com"
        for partition in open_session(self.settings).get_data("partitions")["partitions"]:
            if region in partition["regions"] or re.match(partition["regionRegex"], region):
                return str(partition["outputs"]["dnsSuffix"])
        return "amazonaws.com"

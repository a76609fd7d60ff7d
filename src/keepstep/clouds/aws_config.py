"""What the AWS configuration says beside credentials: region, CA, the S3 block, and where buckets are."""

from __future__ import annotations

import os
import re
from functools import cached_property
from typing import Any

from keepstep.clouds.aws_chain import AwsSettings, open_session, profile_of
from keepstep.clouds.aws_errors import translated
from keepstep.clouds.s3_endpoint import S3Endpoint, S3Facts, s3_endpoint
from keepstep.errors import ConfigError


class AwsConfig:
    """Read with botocore from the variables and files of the AWS CLI, when first asked; no network.

    Every question raises :class:`ConfigError` when the profile does not exist or a file cannot be parsed.
    """

    def __init__(self, settings: AwsSettings) -> None:
        self.settings = settings

    @cached_property
    def _session(self) -> Any:
        return open_session(self.settings)

    @property
    def region(self) -> str | None:
        """From the settings, AWS_REGION, AWS_DEFAULT_REGION or the profile, in this order."""
        region: str | None = self._session.get_config_variable("region")
        return region

    @property
    def ca_bundle(self) -> str | None:
        """Path of a CA bundle: settings, AWS_CA_BUNDLE, profile, REQUESTS_CA_BUNDLE. None means the system's."""
        path = self._session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        if path and not os.path.exists(path):
            raise ConfigError(f"the CA bundle {path} does not exist", hint="see AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE")
        return path or None

    @property
    def s3_options(self) -> dict[str, str]:
        """The profile's ``s3 =`` block as it is written: ``max_concurrent_requests``, ``max_bandwidth`` ..."""
        block = self._session.get_scoped_config().get("s3", {})
        if not isinstance(block, dict):
            raise ConfigError(
                f"s3 = {block} in the AWS profile {profile_of(self._session)} is not a nested block",
                hint="write 's3 =' on a line of its own, and its settings indented below it",
            )
        return dict(block)

    def endpoint_url(self, service: str) -> str | None:
        """The user's own address of a service, None where AWS's is meant.

        botocore's order: AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, the profile's ``services`` section, its
        ``endpoint_url``; none of them with AWS_IGNORE_CONFIGURED_ENDPOINT_URLS.
        """
        from botocore.configprovider import ConfiguredEndpointProvider

        session = self._session
        if session.get_config_variable("ignore_configured_endpoint_urls"):
            return None
        with translated(profile_of(session)):
            provider = ConfiguredEndpointProvider(session.full_config, session.get_scoped_config(), service)
            url: str | None = provider.provide()
        return url

    @property
    def s3_url(self) -> str | None:
        """The user's own address of S3, None where AWS's is meant."""
        return self.settings.endpoint_url or self.endpoint_url("s3")

    def s3_endpoint(self, bucket: str, region: str | None = None) -> S3Endpoint:
        """Where ``bucket`` is. ``region`` is the bucket's own, when it is known; else ours, else us-east-1."""
        return s3_endpoint(bucket, self._s3_facts(region or self.region or "us-east-1"))

    def _s3_facts(self, region: str) -> S3Facts:
        variable = self._session.get_config_variable
        options = variable("s3") if self.s3_options else {}
        return S3Facts(
            region=region,
            url=self.s3_url,
            suffix=self._dns_suffix(region),
            addressing_style=options.get("addressing_style") or "auto",
            dualstack=bool(options.get("use_dualstack_endpoint") or variable("use_dualstack_endpoint")),
            fips=bool(variable("use_fips_endpoint")),
            accelerate=bool(options.get("use_accelerate_endpoint")),
        )

    def _dns_suffix(self, region: str) -> str:
        for partition in self._session.get_data("partitions")["partitions"]:
            if region in partition["regions"] or re.match(partition["regionRegex"], region):
                return str(partition["outputs"]["dnsSuffix"])
        return "amazonaws.com"

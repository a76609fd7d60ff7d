"""botocore's own credential chain, and the roles that are assumed on top of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keepstep.clouds.aws_errors import nothing_found, translated
from keepstep.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AwsSettings:
    """How one side of a job becomes somebody on AWS. What is not said here is found as the AWS CLI finds it."""

    profile: str | None = None
    """An explicit profile goes before access keys in the environment, as with the AWS CLI's ``--profile``."""
    region: str | None = None
    role_arn: tuple[str, ...] = ()
    """Roles to assume, each with the credentials of the one before."""
    external_id: Mapping[str, str] = field(default_factory=dict)
    """By role ARN."""
    session_name: str = "keepstep"
    """RoleSessionName, seen in CloudTrail."""
    endpoint_url: str | None = None
    """Of S3, as with the AWS CLI's ``--endpoint-url``; the other services keep their configured ones."""
    ca_bundle: str | None = None
    no_sign_request: bool = False


def open_session(settings: AwsSettings) -> Any:
    """A ``botocore.session.Session`` that knows the profile and the region; nothing is asked over a network.

    AWS_REGION is honoured next to botocore's AWS_DEFAULT_REGION, and goes before it, as in every other AWS SDK.
    """
    from keepstep.clouds import aws_sdk

    session = aws_sdk.session(settings.profile)
    region = settings.region or os.environ.get("AWS_REGION", "").strip()
    if region:
        session.set_config_variable("region", region)
    if settings.ca_bundle:
        session.set_config_variable("ca_bundle", settings.ca_bundle)
    with translated(profile_of(session)):
        session.get_scoped_config()
    return session


def profile_of(session: Any) -> str:
    return session.get_config_variable("profile") or "default"


def credentials_of(session: Any, settings: AwsSettings) -> Any:
    """botocore credentials that refresh themselves, those of the last role when there are roles.

    The session's own clients (STS, Secrets Manager ...) use them too. Raises :class:`ConfigError` where there are
    none; roles are assumed when the credentials are first used.
    """
    with translated(profile_of(session)):
        credentials = session.get_credentials()
    if credentials is None:
        files = (session.get_config_variable(name) for name in ("config_file", "credentials_file"))
        raise nothing_found(profile_of(session), *files)
    if credentials.method == "env" and type(credentials).__name__ == "Credentials":
        _trim(credentials)
    caller = ""
    for role in settings.role_arn:
        credentials = _assumed(session, credentials, role, caller, settings)
        caller = role
    session._credentials = credentials
    return credentials


def _trim(credentials: Any) -> None:
    """No key has blanks around it; variables that were filled from files have line breaks at their ends."""
    credentials.access_key = credentials.access_key.strip()
    credentials.secret_key = credentials.secret_key.strip()
    credentials.token = (credentials.token or "").strip() or None


def _assumed(session: Any, source: Any, role: str, caller: str, settings: AwsSettings) -> Any:
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

    if not role.startswith("arn:"):
        raise ConfigError(f"not a role's ARN: {role!r}", hint="write arn:aws:iam::<account>:role/<name>")
    external_id = settings.external_id.get(role, "")
    arguments = {"RoleSessionName": settings.session_name} | ({"ExternalId": external_id} if external_id else {})
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=lambda service, **keys: _sts(session, service, role, keys),
        source_credentials=source,
        role_arn=role,
        extra_args=arguments,
    )

    def refresh() -> Any:
        with translated(profile_of(session), role=role, caller=caller, external_id=external_id):
            return fetcher.fetch_credentials()

    return DeferredRefreshableCredentials(refresh_using=refresh, method="assume-role")


def _sts(session: Any, service: str, role: str, keys: Mapping[str, Any]) -> Any:
    """The regional STS; without a region that of the role's partition. Endpoint and CA as configured."""
    from botocore.config import Config

    region = session.get_config_variable("region")
    if not region:
        partition = role.split(":")[1]
        region = {"aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}.get(partition, "us-east-1")
    config = Config(connect_timeout=10, read_timeout=20)
    return session.create_client(service, region_name=region, config=config, **keys)

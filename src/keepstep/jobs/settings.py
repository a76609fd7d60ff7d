"""Interprets single settings: the identities of a job, and the address of a secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keepstep.errors import ConfigError

if TYPE_CHECKING:
    from keepstep.config import Identities
    from keepstep.jobs.sync_params import SyncParams
    from keepstep.vaults.address import SecretAddress


@dataclass(frozen=True, kw_only=True)
class CloudSettings:
    """The identity in each cloud, as far as configured; the rest is resolved as by the clouds' own tools."""

    profile: str | None = None
    region: str | None = None
    source_region: str | None = None
    """Region of the source bucket, if it differs."""
    endpoint_url: str | None = None
    ca_bundle: str | None = None
    no_sign_request: bool = False
    connect_timeout: int | None = None
    """Seconds; 0 is no limit, None the default."""
    read_timeout: int | None = None
    """Read timeout in seconds; 0 is no limit, None the default."""
    role_arn: tuple[str, ...] = ()
    oci_auth: str | None = None
    oci_profile: str | None = None
    oci_config_file: str | None = None


def settings_of(identity: Identities) -> CloudSettings:
    """The identity in each cloud, from keepstep.toml."""
    return CloudSettings(
        profile=identity.aws.profile,
        region=identity.aws.region,
        endpoint_url=identity.aws.endpoint_url,
        ca_bundle=identity.aws.ca_bundle,
        role_arn=tuple(identity.aws.role_arn),
        oci_auth=identity.oci.auth,
        oci_profile=identity.oci.profile,
        oci_config_file=identity.oci.config_file,
    )


def overridden(settings: CloudSettings, params: SyncParams) -> CloudSettings:
    """Overrides the file's settings by the options of a sync."""
    names = ("profile", "region", "source_region", "endpoint_url", "ca_bundle")
    return replace(
        settings,
        **{name: value for name in names if (value := getattr(params, name))},
        read_timeout=params.cli_read_timeout,
        connect_timeout=params.cli_connect_timeout,
        no_sign_request=params.no_sign_request,
    )


def instance_by_default(settings: CloudSettings) -> CloudSettings:
    """The settings, with the instance principal where neither they, nor a variable, nor a file names an identity.

    OCI hosts deliver secrets this way; other commands need an OCI configuration there.
    """
    from keepstep.clouds.oci_config import OciSettings, read_profile

    said = settings.oci_auth or os.environ.get("OCI_CLI_AUTH") or os.environ.get("OCI_RESOURCE_PRINCIPAL_VERSION")
    if said:
        return settings
    profile = read_profile(OciSettings(profile=settings.oci_profile, config_file=settings.oci_config_file))
    if not profile.absence or profile.get("user") or profile.get("security_token_file"):
        return settings
    return replace(settings, oci_auth="instance_principal")


def secret_setting(text: str, default_vault: str = "", *, called: str = "") -> SecretAddress:
    """The secret of a setting; a bare name or path is in ``default_vault``.

    Raises :class:`ConfigError` that names the setting ``called``, and does not repeat its text.
    """
    from keepstep.vaults.address import parse

    with naming(called):
        return parse(text, bare=default_vault)


def credential_secret(text: str | None, vault: str, *, called: str) -> SecretAddress:
    """A secret that must be in ``vault``. Raises :class:`ConfigError`."""
    if not text:
        raise ConfigError(f"{called} is missing", hint=f"name the secret, as {vault}")
    address = secret_setting(text, vault, called=called)
    if address.vault != vault:
        raise ConfigError(f"{called} is not a secret of {vault}")
    return address


@contextmanager
def naming(called: str) -> Iterator[None]:
    """Adds the name of the setting to an error, unless ``called`` is empty."""
    try:
        yield
    except ConfigError as exc:
        if not called:
            raise
        raise ConfigError(f"{called}: {exc.message}", hint=exc.hint) from None

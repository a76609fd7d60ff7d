"""Who we are in each cloud, as keepstep.toml says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepstep.assembly import CloudSettings

if TYPE_CHECKING:
    from keepstep.config import Identities


def settings_of(identity: Identities) -> CloudSettings:
    """A job's own identities, or the file's."""
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

"""Identities without a key on disk: the instance, the function or job, the pod. The OCI SDK is the authority.

Each function blocks, makes a new signer of the SDK, and takes key and token from it. A signer is never refreshed
in place: when that fails half-way the SDK's own is left with a key that does not belong to its token.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from keepstep.clouds import oci_sdk
from keepstep.clouds.oci_config import OciSettings, ca_bundle
from keepstep.clouds.oci_keys import read_file
from keepstep.clouds.oci_principal_errors import is_from_metadata, translated
from keepstep.clouds.oci_regions import region_of
from keepstep.clouds.oci_signing import SigningKey
from keepstep.clouds.oci_token import expiry
from keepstep.errors import ConfigError

_UNREACHABLE = 10.0
"""Seconds after which a metadata or token service that nothing answers for is taken to be absent."""
_UNWILLING = 40.0
"""Seconds for one that answers 404, 429 or 5xx, as a metadata service does while its machine boots."""


class _Patience:
    """A retry strategy in the SDK's sense; its own would take three to ten minutes."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def make_retrying_call(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        wait = 0.25
        while True:
            try:
                return call(*args, **kwargs)
            except Exception as exc:
                if time.monotonic() + wait > self._began + _worth(exc):
                    raise
            time.sleep(wait)
            wait = min(2 * wait, 5.0)


def _worth(exc: Exception) -> float:
    """For how many seconds in all a call that fails so is repeated."""
    from oci.exceptions import ServiceError

    if isinstance(exc, ServiceError):
        boots = exc.status == 404 and is_from_metadata(exc)
        return _UNWILLING if boots or exc.status == 429 or exc.status >= 500 else 0.0
    return _UNREACHABLE if isinstance(exc, OSError) else 0.0


def instance_principal(settings: OciSettings) -> SigningKey:
    """The compute instance that this runs on, by the certificate in its metadata (OCI_METADATA_BASE_URL)."""
    oci_sdk.prepare()
    from oci.auth.signers import InstancePrincipalsSecurityTokenSigner
    from oci.circuit_breaker import NoCircuitBreakerStrategy

    patience = _Patience()
    with translated("instance principal"):
        signer = InstancePrincipalsSecurityTokenSigner(
            retry_strategy=patience,
            federation_client_retry_strategy=patience,
            federation_client_circuit_breaker_strategy=NoCircuitBreakerStrategy(),
            federation_client_cert_bundle_verify=ca_bundle(settings),
            federation_endpoint=_federation_endpoint(),
        )
        return _key_of(signer, settings, "instance principal", signer.tenancy_id)


def resource_principal(settings: OciSettings) -> SigningKey:
    """The function, job or other resource that this runs in, by the OCI_RESOURCE_PRINCIPAL_* variables."""
    oci_sdk.prepare()
    from oci.auth.signers import get_resource_principals_signer

    version = os.environ.get("OCI_RESOURCE_PRINCIPAL_VERSION")
    if not version:
        raise ConfigError(
            "no resource principal: OCI_RESOURCE_PRINCIPAL_VERSION is not set",
            hint="the platform sets it in Functions, Container Instances and so on; elsewhere choose another auth",
        )
    with translated("resource principal"):
        signer = _ephemeral_signer() if version == "2.2" else get_resource_principals_signer()
        return _key_of(signer, settings, "resource principal", getattr(signer, "tenancy_id", None) or "")


def _ephemeral_signer() -> Any:
    """Version 2.2. Key and pass phrase are read here: the SDK opens a pass phrase's file in a mode that raises."""
    from oci.auth.signers import EphemeralResourcePrincipalSigner

    pass_phrase = os.environ.get("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE")
    return EphemeralResourcePrincipalSigner(
        session_token=_content(_required("OCI_RESOURCE_PRINCIPAL_RPST"), "the session token"),
        private_key=_content(_required("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"), "the private key"),
        private_key_passphrase=_content(pass_phrase, "the pass phrase") if pass_phrase else None,
        region=os.environ.get("OCI_RESOURCE_PRINCIPAL_REGION"),
    )


def oke_workload_identity(settings: OciSettings) -> SigningKey:
    """The Kubernetes service account of this pod, in an enhanced OKE cluster."""
    oci_sdk.prepare()
    from oci.auth.signers import get_oke_workload_identity_resource_principal_signer

    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise ConfigError(
            "no workload identity: this is no Kubernetes pod (KUBERNETES_SERVICE_HOST is not set)",
            hint="it exists in pods of enhanced OKE clusters; elsewhere choose another auth",
        )
    with translated("workload identity"):
        signer = get_oke_workload_identity_resource_principal_signer(
            service_account_token_path=os.environ.get("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH"),
            service_account_token=os.environ.get("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING"),
            retry_strategy=_Patience(),
        )
        return _key_of(signer, settings, "workload identity", "")


def _key_of(signer: Any, settings: OciSettings, name: str, tenancy: str) -> SigningKey:
    region = settings.region or os.environ.get("OCI_CLI_REGION") or getattr(signer, "region", None) or ""
    return SigningKey(
        signer.api_key,
        signer.private_key,
        tenancy=tenancy,
        region=region_of(region),
        expires_at=expiry(signer.api_key.removeprefix("ST$"), f"the {name}"),
    )


def _federation_endpoint() -> str | None:
    """None lets the SDK find the one of the instance's region."""
    if whole := os.environ.get("OCI_CLI_FEDERATION_ENDPOINT"):
        return whole
    base = os.environ.get("OCI_ENDPOINT_URL")
    return f"{base.rstrip('/')}/v1/x509" if base else None


def _required(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise ConfigError(
            f"no resource principal: {variable} is not set", hint="the platform sets it, or nobody does"
        )
    return value


def _content(value: str, what: str) -> str:
    """The value itself, or what is in the file when it is an absolute path, as the SDK has it."""
    if not os.path.isabs(value):
        return value
    return read_file(value, what, hint="see the OCI_RESOURCE_PRINCIPAL_* variables").decode().strip()

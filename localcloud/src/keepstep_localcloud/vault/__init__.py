"""OCI Vault in the local OCI: secret management (API 20180608) and secret retrieval (API 20190301).

Any vault, key and compartment OCID is accepted, and every principal may do everything. Changes settle at once;
``POST /_localcloud/vault`` with ``{"settleMs": 500}``, which nobody signs, makes secrets stay in CREATING, UPDATING
and the like for that long after each change, as they do in OCI.
Source: the clients ``oci.vault.VaultsClient`` and ``oci.secrets.SecretsClient`` of the OCI SDK.
"""

from __future__ import annotations

from keepstep_localcloud.vault.management import Management
from keepstep_localcloud.vault.retrieval import Retrieval
from keepstep_localcloud.vault.store import Documents, MemoryDocuments, Secrets
from keepstep_localcloud.wire import Route

__all__ = ["Documents", "MemoryDocuments", "Secrets", "routes"]


def routes(state: Secrets) -> list[Route]:
    """The operations of both APIs, by the names of the SDK; paths are without the API's version."""
    manage, read = Management(state), Retrieval(state)
    secret, bundle = "/secrets/{secret_id}", "/secretbundles/{secret_id}"
    version = secret + "/version/{number}"
    return [
        Route("CreateSecret", "POST", "/secrets", manage.create_secret),
        Route("ListSecrets", "GET", "/secrets", manage.list_secrets),
        Route("GetSecret", "GET", secret, manage.get_secret),
        Route("UpdateSecret", "PUT", secret, manage.update_secret),
        Route("ListSecretVersions", "GET", f"{secret}/versions", manage.list_versions),
        Route("GetSecretVersion", "GET", version, manage.get_version),
        Route(
            "ScheduleSecretVersionDeletion",
            "POST",
            f"{version}/actions/scheduleDeletion",
            manage.schedule_version_deletion,
        ),
        Route(
            "CancelSecretVersionDeletion",
            "POST",
            f"{version}/actions/cancelDeletion",
            manage.cancel_version_deletion,
        ),
        Route("ScheduleSecretDeletion", "POST", f"{secret}/actions/scheduleDeletion", manage.schedule_deletion),
        Route("CancelSecretDeletion", "POST", f"{secret}/actions/cancelDeletion", manage.cancel_deletion),
        Route("ChangeSecretCompartment", "POST", f"{secret}/actions/changeCompartment", manage.change_compartment),
        Route("RotateSecret", "POST", f"{secret}/actions/rotate", manage.rotate),
        Route("CancelSecretRotation", "POST", f"{secret}/actions/cancelRotation", manage.cancel_rotation),
        Route("GetSecretBundle", "GET", bundle, read.get_bundle),
        Route("GetSecretBundleByName", "POST", "/secretbundles/actions/getByName", read.get_bundle_by_name),
        Route("ListSecretBundleVersions", "GET", f"{bundle}/versions", read.list_versions),
        Route("ConfigureVault", "POST", "/_localcloud/vault", manage.configure, is_open=True),
    ]

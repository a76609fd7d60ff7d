"""Workload identities: the Kubernetes service account of a pod, in an enhanced OKE cluster.

Source: "Granting Workloads Access to OCI Resources" of the OCI documentation, and
``oci.auth.signers.OkeWorkloadIdentityResourcePrincipalSigner`` of the SDK. The service stands at the address of
Kubernetes, on a port of its own, and its certificate is the cluster's.
"""

from __future__ import annotations

import base64
import json
import os
import re
import uuid
from datetime import UTC, datetime

from keepstep.clouds.document import document_in
from keepstep.clouds.oci_asking import Asker, fetched
from keepstep.clouds.oci_config import OciSettings
from keepstep.clouds.oci_keys import bare, new_session_key, read_file
from keepstep.clouds.oci_signing import SigningKey
from keepstep.clouds.oci_token import Claims, claims_of, session_key_of
from keepstep.errors import ConfigError, Corrupt

_NAME = "workload identity"
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_CA_SETTING = "OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH"
_PORT = 12250
_IN_PODS = "it exists in pods of enhanced OKE clusters; elsewhere choose another auth"
_SUBJECT = re.compile(r"system:serviceaccount:([a-z0-9.-]+):([a-z0-9.-]+)", re.ASCII)


def oke_workload_identity(settings: OciSettings) -> SigningKey:
    """A token for the service account of this pod, and the session key that it is bound to, both new. Blocks.

    Raises what :class:`.Asker` raises, and :class:`Corrupt` for an answer that is none.
    """
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "").strip()
    if not host:
        raise ConfigError(
            "no workload identity: this is not a Kubernetes pod (KUBERNETES_SERVICE_HOST is not set)", hint=_IN_PODS
        )
    account, claims = _service_account()
    bundle = os.path.expanduser(os.environ.get(_CA_SETTING) or f"{_ACCOUNT}/ca.crt")
    read_file(bundle, "the CA file of the cluster", hint=f"{_CA_SETTING} names it")
    place = f"[{host}]" if ":" in host and not host.startswith("[") else host
    url = f"https://{place}:{_PORT}/resourcePrincipalSessionTokens"
    asker = Asker(_NAME, bundle=bundle, refused=_policy(claims), absent=_IN_PODS, ca_setting=_CA_SETTING)
    return fetched(asker, lambda each: _exchanged(each, url, account))


async def _exchanged(asker: Asker, url: str, account: str) -> SigningKey:
    session = new_session_key()
    headers = [
        ("authorization", f"Bearer {account}"),
        ("content-type", "application/json"),
        ("opc-request-id", uuid.uuid4().hex),
    ]
    body = json.dumps({"podKey": bare(session.public_key())}).encode()
    response = await asker.ask("POST", url, lambda: headers, body, hidden=(account,))
    try:
        content = base64.b64decode(response.document)
    except ValueError:
        raise Corrupt(f"the {_NAME}: the answer is not base64 (a proxy?)") from None
    answer = document_in(content, f"the {_NAME}")
    return session_key_of(answer, session, _NAME, region=os.environ.get("OCI_RESOURCE_PRINCIPAL_REGION", ""))


def _service_account() -> tuple[str, Claims]:
    """The token of the service account, read again each time, because Kubernetes replaces it."""
    given = os.environ.get("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING")
    path = os.environ.get("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH") or f"{_ACCOUNT}/token"
    if given:
        what, token = "OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING", given
    else:
        hint = "OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH names it; the pod must mount its service account's token"
        path = os.path.expanduser(path)
        content = read_file(path, "the service account's token", hint=hint)
        what, token = path, content.decode(errors="replace")
    claims = claims_of(token.strip())
    if claims is None:
        raise ConfigError(f"{what} holds no service account's token that says when it ends")
    if claims.ends <= datetime.now(UTC):
        raise ConfigError(
            f"the service account's token in {what} has expired, at {claims.ends:%Y-%m-%d %H:%M:%S} UTC",
            hint="Kubernetes replaces a projected token in its file: name the file, not a copy of it",
        )
    return token.strip(), claims


def _policy(claims: Claims) -> str:
    """What a refusal hints at, with the names of this pod's service account."""
    found = _SUBJECT.fullmatch(claims.subject)
    namespace, account = found.groups() if found else ("<namespace>", "<service account>")
    return (
        "the cluster must be an enhanced one, and a policy must name the workload, such as: allow any-user to read "
        "objects in compartment <compartment> where all {request.principal.type = 'workload', "
        f"request.principal.namespace = '{namespace}', request.principal.service_account = '{account}', "
        "request.principal.cluster_id = '<cluster OCID>'}"
    )

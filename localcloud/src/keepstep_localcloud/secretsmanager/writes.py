"""What changes a secret: each operation changes a copy and saves it, or raises and leaves everything as it was."""

from __future__ import annotations

import re
import secrets
import string
import uuid
from datetime import datetime, timedelta
from typing import Any

from keepstep_localcloud.secretsmanager.model import (
    CURRENT,
    PENDING,
    Rotation,
    Secret,
    SecretsError,
    Version,
    invalid,
)
from keepstep_localcloud.secretsmanager.reads import is_open, parsed_policy, refused, usable
from keepstep_localcloud.secretsmanager.store import SecretStore, find, in_region

ACCOUNT = "123456789012"
MAX_TAGS = 50
Parameters = dict[str, Any]


class Writes:
    """One write."""

    def __init__(self, store: SecretStore, region: str, now: datetime) -> None:
        self._store = store
        self._region = region
        self._now = now

    def create_secret(self, parameters: Parameters) -> Parameters:
        if unknown := parameters.keys() & {"AddReplicaRegions", "CrossAccountPrimaryARN", "Type"}:
            raise invalid(f"{', '.join(sorted(unknown))}: not in the local Secrets Manager.")
        name, version = parameters["Name"], _version(parameters, self._now)
        if known := next(
            (s for s in in_region(self._store.view(stale=False), self._region) if s.name == name), None
        ):
            return self._create_again(known, version)
        if not re.fullmatch(r"[A-Za-z0-9/_+=.@-]+", name):
            raise SecretsError(
                "ValidationException",
                "Invalid name. Must be a valid name containing alphanumeric characters, "
                "or any of the following: -/_+=.@!",
            )
        secret = Secret(arn=self._arn(name), name=name, created=self._now, changed=self._now)
        _describe(secret, parameters)
        _tag(secret, parameters.get("Tags", []))
        if version:
            secret.put(version, [CURRENT])
        return self._saved(secret, version)

    def _create_again(self, known: Secret, version: Version | None) -> Parameters:
        if known.deleted:
            raise refused(
                "You can't create this secret because a secret with this name is already scheduled for deletion."
            )
        if not version or version.id not in known.versions:
            raise SecretsError(
                "ResourceExistsException", f"The operation failed because the secret {known.name} already exists."
            )
        return _named(known, VersionId=known.put(version, []).id)

    def put_secret_value(self, parameters: Parameters) -> Parameters:
        secret = self._usable(parameters)
        version = _version(parameters, self._now)
        if version is None:
            raise refused("You must provide either SecretString or SecretBinary.")
        is_new = version.id not in secret.versions
        version = secret.put(version, parameters.get("VersionStages", [CURRENT]))
        return self._saved(secret, version, VersionStages=version.labels, write=is_new)

    def update_secret(self, parameters: Parameters) -> Parameters:
        if "Type" in parameters:
            raise invalid("Type: not in the local Secrets Manager.")
        secret = self._usable(parameters)
        version = _version(parameters, self._now)
        if version and version.id in secret.versions:
            raise secret.token_in_use(version.id)
        _describe(secret, parameters)
        if version:
            secret.put(version, [CURRENT])
        return self._saved(secret, version)

    def update_secret_version_stage(self, parameters: Parameters) -> Parameters:
        secret = self._usable(parameters)
        source, target = parameters.get("RemoveFromVersionId"), parameters.get("MoveToVersionId")
        secret.move(parameters["VersionStage"], source, target)
        return self._saved(secret)

    def delete_secret(self, parameters: Parameters) -> Parameters:
        window = parameters.get("RecoveryWindowInDays")
        if parameters.get("ForceDeleteWithoutRecovery"):
            if window is not None:
                raise invalid("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
            return self._delete_now(parameters["SecretId"])
        if window is not None and not 7 <= window <= 30:
            raise invalid("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
        secret = self._usable(parameters)
        secret.deleted, secret.gone = self._now, self._now + timedelta(days=window or 30)
        return self._saved(secret, DeletionDate=secret.gone)

    def _delete_now(self, secret_id: str) -> Parameters:
        """A secret that is not there is deleted already."""
        try:
            secret = find(self._store.view(stale=False), self._region, secret_id)
        except SecretsError:
            name = secret_id.partition(":secret:")[2] or secret_id
            return {"ARN": self._arn(name), "Name": name, "DeletionDate": self._now}
        self._store.delete(secret.arn)
        return _named(secret, DeletionDate=self._now)

    def restore_secret(self, parameters: Parameters) -> Parameters:
        secret = self._copy(parameters)
        secret.deleted = secret.gone = None
        return self._saved(secret)

    def tag_resource(self, parameters: Parameters) -> Parameters:
        secret = self._usable(parameters)
        _tag(secret, parameters["Tags"])
        self._saved(secret)
        return {}

    def untag_resource(self, parameters: Parameters) -> Parameters:
        secret = self._usable(parameters)
        for key in parameters["TagKeys"]:
            secret.tags.pop(key, None)
        self._saved(secret)
        return {}

    def rotate_secret(self, parameters: Parameters) -> Parameters:
        """Records the settings; no function is called, so no version comes of it."""
        secret = self._usable(parameters)
        rules = parameters.get("RotationRules") or (secret.rotation.rules if secret.rotation else {})
        function = parameters.get("RotationLambdaARN") or (secret.rotation.lambda_arn if secret.rotation else None)
        if not function:
            raise refused("No Lambda rotation function ARN is associated with this secret.")
        if "AutomaticallyAfterDays" in rules and "ScheduleExpression" in rules:
            raise invalid("You can't specify both AutomaticallyAfterDays and ScheduleExpression.")
        pending = secret.labelled(PENDING)
        if pending and CURRENT not in pending.labels:
            raise refused("Previous rotation isn't complete. That rotation will be reattempted.")
        days = rules.get("AutomaticallyAfterDays")
        due = self._now + timedelta(days=days) if days else None
        secret.rotation = Rotation(enabled=True, lambda_arn=function, rules=rules, next=due)
        return self._saved(secret, VersionId=_token(parameters))

    def cancel_rotate_secret(self, parameters: Parameters) -> Parameters:
        secret = self._usable(parameters)
        if secret.rotation:
            secret.rotation.enabled = False
        return self._saved(secret, secret.labelled(PENDING))

    def put_resource_policy(self, parameters: Parameters) -> Parameters:
        secret = self._usable(parameters)
        if is_open(parsed_policy(parameters["ResourcePolicy"])) and parameters.get("BlockPublicPolicy"):
            raise SecretsError("PublicPolicyException", "The resource policy grants access to everybody.")
        secret.policy = parameters["ResourcePolicy"]
        return self._saved(secret)

    def delete_resource_policy(self, parameters: Parameters) -> Parameters:
        secret = self._usable(parameters)
        secret.policy = None
        return self._saved(secret)

    def _copy(self, parameters: Parameters) -> Secret:
        return find(self._store.view(stale=False), self._region, parameters["SecretId"]).model_copy(deep=True)

    def _usable(self, parameters: Parameters) -> Secret:
        return usable(self._copy(parameters))

    def _saved(
        self, secret: Secret, version: Version | None = None, *, write: bool = True, **more: Any
    ) -> Parameters:
        if write:
            secret.changed = self._now
            self._store.save(secret)
        return _named(secret, **({"VersionId": version.id} if version else {}), **more)

    def _arn(self, name: str) -> str:
        tail = "".join(secrets.choice(string.ascii_letters) for _ in range(6))
        return f"arn:aws:secretsmanager:{self._region}:{ACCOUNT}:secret:{name}-{tail}"


def _version(parameters: Parameters, now: datetime) -> Version | None:
    """The version that the request carries; None when it carries no value."""
    text, binary = parameters.get("SecretString"), parameters.get("SecretBinary")
    if text is not None and binary is not None:
        raise invalid("You can't specify both a binary secret value and a string secret value in the same secret.")
    if text is None and binary is None:
        return None
    return Version(id=_token(parameters), created=now, string=text, binary=binary)


def _token(parameters: Parameters) -> str:
    return str(parameters.get("ClientRequestToken") or uuid.uuid4())


def _describe(secret: Secret, parameters: Parameters) -> None:
    secret.description = parameters.get("Description", secret.description)
    secret.kms_key_id = parameters.get("KmsKeyId", secret.kms_key_id)


def _tag(secret: Secret, tags: list[dict[str, str]]) -> None:
    if any(tag.get("Key", "").lower().startswith("aws:") for tag in tags):
        raise invalid("Tag keys can't start with aws:.")
    secret.tags |= {tag["Key"]: tag.get("Value", "") for tag in tags}
    if len(secret.tags) > MAX_TAGS:
        raise invalid(f"A secret can have up to {MAX_TAGS} tags.")


def _named(secret: Secret, **more: Any) -> Parameters:
    return {"ARN": secret.arn, "Name": secret.name, **more}

"""What Secrets Manager answers without changing anything."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from keepstep_localcloud.secretsmanager.model import Secret, SecretsError, Version, invalid
from keepstep_localcloud.secretsmanager.password import random_password
from keepstep_localcloud.secretsmanager.search import ordered, page, search
from keepstep_localcloud.secretsmanager.store import SecretStore, find, in_region

Parameters = dict[str, Any]


def refused(message: str) -> SecretsError:
    return SecretsError("InvalidRequestException", message)


def usable(secret: Secret) -> Secret:
    """The secret, unless it is marked for deletion: every page that lists ``InvalidRequestException`` says so."""
    if secret.deleted:
        raise refused("You can't perform this operation on the secret because it was marked for deletion.")
    return secret


class Reads:
    """One read; ``stale`` shows secrets as they were before their last write."""

    def __init__(self, store: SecretStore, region: str, now: datetime, *, stale: bool) -> None:
        self._store = store
        self._view = store.view(stale=stale)
        self._region = region
        self._now = now

    def _find(self, parameters: Parameters) -> Secret:
        return find(self._view, self._region, parameters["SecretId"])

    def describe_secret(self, parameters: Parameters) -> Parameters:
        secret = self._find(parameters)
        return _details(secret, VersionIdsToStages=secret.stages() or None)

    def get_secret_value(self, parameters: Parameters) -> Parameters:
        secret = usable(self._find(parameters))
        return self._value(secret, secret.find(parameters.get("VersionId"), parameters.get("VersionStage")))

    def batch_get_secret_value(self, parameters: Parameters) -> Parameters:
        ids, filters = parameters.get("SecretIdList"), parameters.get("Filters")
        if (ids is None) == (filters is None):
            raise invalid("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
        if ids is not None and "MaxResults" in parameters:
            raise invalid(
                "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided."
            )
        if ids is None:
            live = (secret for secret in in_region(self._view, self._region) if not secret.deleted)
            ids = [secret.arn for secret in search(live, filters or [])]
        some, more = page(ids, parameters.get("MaxResults", 20), parameters.get("NextToken"))
        values: list[Parameters] = []
        errors: list[Parameters] = []
        for secret_id in some:
            try:
                values.append(self.get_secret_value({"SecretId": secret_id}))
            except SecretsError as error:
                errors.append({"SecretId": secret_id, "ErrorCode": error.code, "Message": str(error)})
        return {"SecretValues": values, "Errors": errors, **more}

    def list_secrets(self, parameters: Parameters) -> Parameters:
        planned = parameters.get("IncludePlannedDeletion", False)
        secrets = [secret for secret in in_region(self._view, self._region) if planned or not secret.deleted]
        found = search(secrets, parameters.get("Filters", []))
        found = ordered(found, parameters.get("SortBy", "created-date"), parameters.get("SortOrder", "asc"))
        some, more = page(found, parameters.get("MaxResults", 100), parameters.get("NextToken"))
        listed = [_details(secret, SecretVersionsToStages=secret.stages() or None) for secret in some]
        return {"SecretList": listed, **more}

    def list_secret_version_ids(self, parameters: Parameters) -> Parameters:
        secret = self._find(parameters)
        deprecated = parameters.get("IncludeDeprecated", False)
        versions = [version for version in secret.versions.values() if deprecated or version.labels]
        some, more = page(versions, parameters.get("MaxResults", 100), parameters.get("NextToken"))
        return {"ARN": secret.arn, "Name": secret.name, "Versions": [_entry(secret, v) for v in some], **more}

    def get_resource_policy(self, parameters: Parameters) -> Parameters:
        secret = usable(self._find(parameters))
        return _given(ARN=secret.arn, Name=secret.name, ResourcePolicy=secret.policy)

    def validate_resource_policy(self, parameters: Parameters) -> Parameters:
        """A policy that is open to everybody does not pass."""
        if "SecretId" in parameters:
            usable(self._find(parameters))
        is_public = is_open(parsed_policy(parameters["ResourcePolicy"]))
        error = {"CheckName": "NO_PUBLIC_ACCESS", "ErrorMessage": "The policy grants access to everybody."}
        return {"PolicyValidationPassed": not is_public, "ValidationErrors": [error] if is_public else []}

    def get_random_password(self, parameters: Parameters) -> Parameters:
        return {"RandomPassword": random_password(parameters)}

    def _value(self, secret: Secret, version: Version) -> Parameters:
        day = self._now.replace(hour=0, minute=0, second=0, microsecond=0)
        self._store.note_access(secret.arn, version.id, day)
        return _given(
            ARN=secret.arn,
            Name=secret.name,
            VersionId=version.id,
            SecretString=version.string,
            SecretBinary=version.binary,
            VersionStages=version.labels,
            CreatedDate=version.created,
        )


def parsed_policy(text: str) -> Parameters:
    """Raises ``MalformedPolicyDocumentException``."""
    try:
        policy = json.loads(text)
        if policy["Statement"] and policy["Version"]:
            return dict(policy)
    except (ValueError, TypeError, KeyError):
        pass
    raise SecretsError("MalformedPolicyDocumentException", "This resource policy contains invalid Json")


def is_open(policy: Parameters) -> bool:
    """Whether a statement without a condition allows everybody."""
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    return any(
        one.get("Effect") == "Allow" and "Condition" not in one and one.get("Principal") in ("*", {"AWS": "*"})
        for one in statements
    )


def _details(secret: Secret, **stages: Any) -> Parameters:
    """What DescribeSecret and ListSecrets say; only fields that have a value."""
    rotation = secret.rotation
    return _given(
        ARN=secret.arn,
        Name=secret.name,
        Description=secret.description,
        KmsKeyId=secret.kms_key_id,
        RotationEnabled=rotation.enabled if rotation else None,
        RotationLambdaARN=rotation.lambda_arn if rotation else None,
        RotationRules=rotation.rules if rotation else None,
        NextRotationDate=rotation.next if rotation and rotation.enabled else None,
        LastChangedDate=secret.changed,
        LastAccessedDate=secret.accessed,
        DeletedDate=secret.deleted,
        Tags=[{"Key": key, "Value": value} for key, value in secret.tags.items()],
        CreatedDate=secret.created,
        **stages,
    )


def _entry(secret: Secret, version: Version) -> Parameters:
    return _given(
        VersionId=version.id,
        VersionStages=version.labels,
        LastAccessedDate=version.accessed,
        CreatedDate=version.created,
        KmsKeyIds=[secret.kms_key_id or "DefaultEncryptionKey"],
    )


def _given(**fields: Any) -> Parameters:
    return {name: value for name, value in fields.items() if value is not None}

"""Which permissions OCI's operations need, and which a statement's verb gives, as Oracle's policy reference has it.

Sources: "Details for Vault, Key Management, and Secret Management", "Details for Object Storage and Archive
Storage", "Details for Notifications" and "Details for Monitoring" (docs.oracle.com, Identity > Policy
Reference; read in November 2026). Two entries are careful guesses: ListSecretBundleVersions is called
ListSecretBundles there, and UpdateSecret is listed with SECRET_UPDATE alone. New content is encrypted with the
secret's key, as that of CreateSecret is, so the key's permissions are asked for too.
"""

from __future__ import annotations

from collections.abc import Mapping

VERBS = ("inspect", "read", "use", "manage")
"""Each gives what those before it give."""

GRANTS: Mapping[str, Mapping[str, frozenset[str]]] = {
    resource: {verb: frozenset(added.split()) for verb, added in zip(VERBS, columns, strict=True)}
    for resource, columns in {
        "secrets": (
            "SECRET_INSPECT",
            "SECRET_READ",
            "SECRET_UPDATE SECRET_ROTATE",
            "SECRET_CREATE SECRET_DELETE SECRET_MOVE SECRET_REPLICATE_CONFIGURE",
        ),
        "secret-versions": ("SECRET_VERSION_INSPECT", "SECRET_VERSION_READ", "", "SECRET_VERSION_DELETE"),
        "secret-bundles": ("SECRET_BUNDLE_INSPECT", "SECRET_BUNDLE_READ", "", ""),
        "keys": (
            "KEY_INSPECT",
            "KEY_READ",
            "KEY_ENCRYPT KEY_DECRYPT KEY_EXPORT KEY_SIGN KEY_VERIFY",
            "KEY_CREATE KEY_UPDATE KEY_ROTATE KEY_DELETE KEY_MOVE KEY_IMPORT KEY_BACKUP KEY_RESTORE",
        ),
        "vaults": (
            "VAULT_INSPECT",
            "VAULT_READ",
            "VAULT_CREATE_KEY VAULT_IMPORT_KEY VAULT_CREATE_SECRET",
            "VAULT_CREATE VAULT_UPDATE VAULT_DELETE VAULT_MOVE VAULT_BACKUP VAULT_RESTORE VAULT_REPLICATE",
        ),
        "buckets": (
            "BUCKET_INSPECT",
            "BUCKET_READ",
            "BUCKET_UPDATE",
            "BUCKET_CREATE BUCKET_DELETE PAR_MANAGE RETENTION_RULE_MANAGE RETENTION_RULE_LOCK",
        ),
        "objects": (
            "OBJECT_INSPECT",
            "OBJECT_READ",
            "OBJECT_OVERWRITE",
            "OBJECT_CREATE OBJECT_DELETE OBJECT_VERSION_DELETE OBJECT_RESTORE OBJECT_UPDATE_TIER",
        ),
        "ons-topics": (
            "ONS_TOPIC_INSPECT",
            "ONS_TOPIC_READ",
            "ONS_TOPIC_PUBLISH ONS_TOPIC_SUBSCRIBE",
            "ONS_TOPIC_CREATE ONS_TOPIC_MOVE ONS_TOPIC_UPDATE ONS_TOPIC_DELETE",
        ),
        "metrics": ("METRIC_INSPECT", "METRIC_READ", "METRIC_WRITE", ""),
    }.items()
}
FAMILIES = {
    "secret-family": ("secrets", "secret-versions", "secret-bundles"),
    "object-family": ("buckets", "objects"),
    "all-resources": tuple(GRANTS),
}

NEEDS: Mapping[str, frozenset[str]] = {
    operation: frozenset(needed.split())
    for operation, needed in {
        "CreateSecret": "KEY_ENCRYPT KEY_DECRYPT SECRET_CREATE VAULT_CREATE_SECRET",
        "ListSecrets": "SECRET_INSPECT",
        "GetSecret": "SECRET_READ",
        "UpdateSecret": "SECRET_UPDATE KEY_ENCRYPT KEY_DECRYPT",
        "RotateSecret": "SECRET_ROTATE",
        "CancelSecretRotation": "SECRET_ROTATE",
        "ScheduleSecretDeletion": "SECRET_DELETE",
        "CancelSecretDeletion": "SECRET_DELETE",
        "ChangeSecretCompartment": "SECRET_MOVE SECRET_UPDATE",
        "ListSecretVersions": "SECRET_VERSION_INSPECT",
        "GetSecretVersion": "SECRET_VERSION_READ",
        "ScheduleSecretVersionDeletion": "SECRET_VERSION_DELETE SECRET_UPDATE",
        "CancelSecretVersionDeletion": "SECRET_VERSION_DELETE SECRET_UPDATE",
        "GetSecretBundle": "SECRET_BUNDLE_READ",
        "GetSecretBundleByName": "SECRET_BUNDLE_READ",
        "ListSecretBundleVersions": "SECRET_BUNDLE_INSPECT",
        "ListBuckets": "BUCKET_INSPECT",
        "HeadBucket": "BUCKET_INSPECT",
        "GetBucket": "BUCKET_READ",
        "CreateBucket": "BUCKET_CREATE",
        "UpdateBucket": "BUCKET_UPDATE",
        "DeleteBucket": "BUCKET_DELETE",
        "ListObjects": "OBJECT_INSPECT",
        "HeadObject": "OBJECT_READ",
        "GetObject": "OBJECT_READ",
        "PutObject": "OBJECT_CREATE",
        "DeleteObject": "OBJECT_DELETE",
        "BatchDeleteObjects": "OBJECT_DELETE",
        "RenameObject": "OBJECT_CREATE OBJECT_OVERWRITE",
        "CopyObject": "OBJECT_READ OBJECT_INSPECT OBJECT_CREATE OBJECT_OVERWRITE",
        "RestoreObjects": "OBJECT_RESTORE",
        "UpdateObjectStorageTier": "OBJECT_UPDATE_TIER",
        "CreateMultipartUpload": "OBJECT_CREATE OBJECT_OVERWRITE",
        "UploadPart": "OBJECT_CREATE OBJECT_OVERWRITE",
        "CommitMultipartUpload": "OBJECT_CREATE OBJECT_OVERWRITE",
        "AbortMultipartUpload": "OBJECT_DELETE",
        "ListMultipartUploads": "BUCKET_READ",
        "ListMultipartUploadParts": "OBJECT_INSPECT",
        "CreateRetentionRule": "RETENTION_RULE_MANAGE BUCKET_UPDATE",
        "ListRetentionRules": "BUCKET_READ",
        "GetRetentionRule": "BUCKET_READ",
        "UpdateRetentionRule": "RETENTION_RULE_MANAGE BUCKET_UPDATE",
        "DeleteRetentionRule": "RETENTION_RULE_MANAGE BUCKET_UPDATE",
        "CreateTopic": "ONS_TOPIC_CREATE",
        "GetTopic": "ONS_TOPIC_READ",
        "PublishMessage": "ONS_TOPIC_PUBLISH",
        "PostMetricData": "METRIC_WRITE",
    }.items()
}
"""By the SDK's name of the operation. What is not here needs no permission (GetNamespace, a principal's own facts).

PutObject also needs OBJECT_OVERWRITE where there is an object of that name, unless ``If-None-Match: *`` forbids it.
"""

OVERWRITE = "OBJECT_OVERWRITE"


def granted_by(verb: str, resource: str) -> frozenset[str]:
    """The permissions that ``VERB RESOURCE`` stands for. Raises ``KeyError`` for what nobody here knows."""
    given = VERBS[: VERBS.index(verb) + 1] if verb in VERBS else ()
    if not given:
        raise KeyError(verb)
    members = FAMILIES.get(resource, (resource,))
    return frozenset().union(*(GRANTS[member][each] for member in members for each in given))

"""Every check there is, and what it covers of the replaced tools' troubleshooting tables."""

from __future__ import annotations

CHECKS = {
    "aws-identity": "who we are on AWS, by which source of credentials, and until when",
    "oci-identity": "who we are on OCI, by which principal, and until when; the key is registered",
    "aws-clock": "this machine's clock against AWS's",
    "oci-clock": "this machine's clock against OCI's",
    "region": "cost reports are read in the tenancy's home region",
    "cost-reports": "there are cost reports, and how old the newest is",
    "source-list": "the source can be listed",
    "source-read": "an object of the source can be read, and decrypted",
    "target-list": "the target can be listed",
    "target-write": "the target would take an object",
    "target-delete": "the target would let an object be deleted (--delete)",
    "trash-write": "the trash would take an object (--trash)",
    "policy": "IAM's own simulator, for what cannot be tried without changing something",
    "secret": "each secret can be read, and has the field that is asked for",
    "kms": "the KMS keys of secrets and objects are enabled",
    "second-rotator": "nobody else rotates the credential",
    "writable": "both secrets of the credential can be written to: not pending deletion, no replica",
    "stage": "OCI would take a new version of the secret (a change that carries a wrong ETag)",
    "credential": "both clouds hold the same user",
    "quota": "versions that OCI Vault still takes, and the date when it takes no more",
    "database": "the current password logs in",
    "tls": "the databases' certificates verify to their names, and for how long",
    "ca": "the CA files that are named can be read, and how long they last",
    "wallet": "the wallet can be opened, and how long its certificates last",
    "audit": "the audit log would take an entry, and its key can be read",
    "map": "each line of the map makes sense",
    "folder": "secrets' folders can be written, and others have no hand in them",
    "tmpfs": "secrets' folders are in memory",
    "bind-mount": "no file is mounted by itself, where it would stay the old one",
    "container-socket": "the container engine may be spoken to",
    "container": "the containers that are told of changes are running",
    "signal": "what runs in them takes the signal",
    "reboot": "secrets come back after a reboot",
    "alerts": "mail servers and webhooks of the alerts can be reached, and let us in",
    "state": "the state can be written",
    "history": "nothing is the matter with the last runs",
    "schedule": "when the job is due next, and that a daemon is there to start it",
    "fencing": "the vaults refuse a second writer (on a scratch secret, only when asked)",
}

TROUBLES = {
    "oci-rclone-sync": {
        "key.pem empty": "oci-identity",
        "403 Forbidden (S3)": "target-list",
        "EC2 IMDS error": "aws-identity",
        "No bling data": "region",
    },
    "oci-secretsync": {
        "ERR: fetch ... failed": "secret",
        "No such container on signal": "container",
        "File exists but app won't see new value": "signal",
        "Secrets missing after reboot": "reboot",
    },
    "periodic-s3-sync": {
        "trouble getting an explicit role to work": "aws-identity",
        "a role must be trusted by the instance's role": "aws-identity",
        "the role lacks what the sync needs": "target-write",
    },
    "rotation worker": {
        "usernames must match across both clouds": "credential",
        "least-privilege scopes of secrets and buckets": "policy",
        "SSL/TLS for all database connections": "tls",
        "wallet handling": "wallet",
        "HMAC salt of the audit log": "audit",
        "database connection": "database",
        "rotation frequency": "quota",
    },
}
"""By tool: the entry, and the check that finds it. The last two tools have no table; these are their notes."""

"""What each server of the matrix cannot do, with the reason: the one place where that is written.

A capability that is not named here has to work. One that is named has to fail, and the run has to tell it, so that
a newer server that has learned it is noticed.
"""

SERVERS = ("localcloud", "moto", "seaweedfs", "localbucket", "ministack", "rclone")
"""Those that every run of the tests has."""
TESTED_APART = ("s3rver", "ceph")
"""Those of ``make test-stores``."""

_NO_SIGNATURES = "does not check signatures"
_PATHS = "keeps objects as files: refuses names that are not paths"
_NO_SSE_C = "ignores the user's key; objects are reported as failed, and removed"
_NO_SSE = "does not encrypt; objects are reported as failed, and removed"

LACKS: dict[str, dict[str, str]] = {
    "localcloud": {
        "wrong_secret": _NO_SIGNATURES,
        "customer_key": "answers as if it encrypted, and does not",
    },
    "moto": {
        "wrong_secret": _NO_SIGNATURES,
        "customer_key": _NO_SSE_C,
        "checksums": "stores no checksum of objects that come in parts",
    },
    "seaweedfs": {
        "odd_keys": "keeps `a//b`, `/a`, `a\\b` under other names and nothing of what is in `a/`: "
        "keepstep names and skips them",
        "customer_key": "does not confirm it for objects in parts: those are reported as failed",
        "encryption": "needs a KMS of its own for it; objects are reported as failed",
    },
    "localbucket": {
        "wrong_secret": _NO_SIGNATURES,
        "odd_keys": _PATHS,
        "resume": "does not list parts: a killed upload is started again",
        "metadata": "forgets headers and metadata; said, with exit code 2",
        "tags": "has none",
        "customer_key": _NO_SSE_C,
        "encryption": _NO_SSE,
        "checksums": "stores none",
    },
    "ministack": {
        "wrong_secret": _NO_SIGNATURES,
        "tags": "forgets those of objects that come in parts",
    },
    "rclone": {
        "odd_keys": _PATHS + ", and keeps `a/` as `a`: keepstep names and skips them",
        "copies": "does not copy parts: the bytes pass through keepstep; said",
        "tags": "has none",
        "customer_key": _NO_SSE_C,
        "encryption": _NO_SSE,
        "checksums": "stores none",
        "create": "ignores If-None-Match: refused for audit logs",
    },
    "s3rver": {
        "wrong_secret": _NO_SIGNATURES,
        "resume": "does not list parts: a killed upload is started again",
        "odd_keys": _PATHS + "; keepstep skips names with control characters, which break its listings",
        "order": "cannot list in pages: no more than 1,000 objects (InternalError, with Node.js 20)",
        "copies": "looks for names with `+` under others: those pass through keepstep",
        "tags": "has none",
        "customer_key": _NO_SSE_C,
        "encryption": _NO_SSE,
        "checksums": "stores none",
        "create": "ignores If-None-Match: refused for audit logs",
    },
    "ceph": {
        "tags": "forgets those of objects that come in parts",
        "encryption": "needs a vault of its own for it; objects are reported as failed",
        "checksums": "stores none",
    },
}

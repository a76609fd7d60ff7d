"""The errors of Object Storage, with OCI's codes.

Codes that the "API Errors" page does not list were seen on the wire by others: ``IfMatchFailed``,
``IfNoneMatchFailed`` and ``UnmatchedContentMD5`` in the tests of the OCI CLI, the rest in emulators of the service.
"""

from __future__ import annotations

from keepstep_localcloud.wire import ServiceError


def invalid(message: str, code: str = "InvalidParameter") -> ServiceError:
    return ServiceError(400, code, message)


def missing(parameter: str) -> ServiceError:
    return invalid(f"{parameter} is required", "MissingParameter")


def bucket_not_found(namespace: str, bucket: str) -> ServiceError:
    message = (
        f"Either the bucket named '{bucket}' does not exist in the namespace '{namespace}' "
        "or you are not authorized to access it"
    )
    return ServiceError(404, "BucketNotFound", message)


def object_not_found(bucket: str, name: str) -> ServiceError:
    return ServiceError(404, "ObjectNotFound", f"The object '{name}' does not exist in bucket '{bucket}'")


def upload_not_found(upload: str) -> ServiceError:
    return ServiceError(404, "UploadNotFound", f"The upload '{upload}' does not exist")


def not_authorized() -> ServiceError:
    message = "Authorization failed or requested resource not found."
    return ServiceError(404, "NotAuthorizedOrNotFound", message)


def if_match_failed(etag: str) -> ServiceError:
    message = f"The If-Match header value '{etag}' does not match the current entity tag"
    return ServiceError(412, "IfMatchFailed", message)


def if_none_match_failed(name: str) -> ServiceError:
    return ServiceError(412, "IfNoneMatchFailed", f"The If-None-Match header is '*', and '{name}' already exists")


def not_restored(name: str) -> ServiceError:
    return ServiceError(409, "NotRestored", f"The object '{name}' is archived and has to be restored first")


def unsatisfiable(size: int) -> ServiceError:
    headers = {"content-range": f"bytes */{size}"}
    return ServiceError(416, "InvalidRange", "The range is not within the object", headers)


def retained(name: str) -> ServiceError:
    return ServiceError(409, "ObjectRetained", f"The object '{name}' is protected by a retention rule")

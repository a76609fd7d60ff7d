"""What goes wrong on the way to a principal of OCI, in our words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from keepstep.clouds.sdk_guard import too_much
from keepstep.errors import ConfigError, Denied, Error, Transient

_METADATA = "http://169.254.169.254/opc/v2"
_ON_OCI_ONLY = (
    "instance principals exist on OCI compute instances only; elsewhere use an API key (oci setup config). "
    "On an instance the metadata service may be out of reach inside a container"
)
_REFUSED = (
    "check the clock of this machine (5 minutes are allowed) and the region; what it may do is decided later, "
    "by a dynamic group that matches it and a policy such as: "
    "allow dynamic-group <name> to read objects in compartment <compartment>"
)


@contextmanager
def translated(name: str) -> Iterator[None]:
    """The SDK's errors as ours; nothing of a token, a key or an answer's body is repeated."""
    from oci.exceptions import ServiceError

    try:
        yield
    except Error:
        raise
    except ServiceError as exc:
        raise _answered(name, exc) from exc
    except OSError as exc:
        raise _unanswered(name, exc) from exc
    except Exception as exc:
        # the text of these may quote a token
        reason = str(exc) if isinstance(exc, RuntimeError) else type(exc).__name__
        raise ConfigError(f"the {name} could not be had: {reason}") from exc


def is_from_metadata(exc: Any) -> bool:
    """The SDK gives errors of the metadata service no code."""
    return exc.code is None


def _answered(name: str, exc: Any) -> Error:
    if is_from_metadata(exc):
        return ConfigError(f"no {name}: the metadata service answered {exc.status}", hint=_ON_OCI_ONLY)
    if exc.status == 429 or exc.status >= 500:
        return Transient(f"the {name} could not be had: OCI answered {exc.status} {exc.code}")
    return Denied(f"OCI refused the {name}: {exc.status} {exc.code}: {exc.message}", hint=_REFUSED)


def _unanswered(name: str, exc: OSError) -> Error:
    if excess := too_much(exc):
        return Transient(f"the {name} could not be had: {excess}")
    url = getattr(getattr(exc, "request", None), "url", None)
    if url is None:
        where = f" {exc.filename}" if exc.filename else ""
        return ConfigError(f"the {name} could not be had: {exc.strerror or type(exc).__name__}{where}")
    asked = urlsplit(url)
    metadata = urlsplit(os.environ.get("OCI_METADATA_BASE_URL", "").strip() or _METADATA)
    if asked.netloc == metadata.netloc or "fd00:c1::a9fe:a9fe" in asked.netloc:
        return ConfigError(f"no {name}: no metadata service answers at {asked.netloc}", hint=_ON_OCI_ONLY)
    return Transient(f"the {name} could not be had: {asked.netloc} cannot be reached")

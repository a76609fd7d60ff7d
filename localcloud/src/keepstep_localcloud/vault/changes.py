"""Every change that OCI Vault allows to a secret, as a pure function from one state to the next.

Where a change leaves the stages::

    change                      CURRENT  PREVIOUS     PENDING               LATEST
    create                      1        -            -                     1
    new content, CURRENT        new      old CURRENT  stays                 new
    new content, PENDING        stays    stays        new                   new
    currentVersionNumber: n     n        old CURRENT  stays, unless it is n stays

Errors are the ``ServiceError`` that OCI answers with; a change that raises has changed nothing.
Source: the docstrings of ``oci.vault`` and "Secret Versions and Rotation States". That a newer PENDING deprecates
the older one follows from the stages' definitions; it is not written there.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from keepstep_localcloud.vault.details import (
    ChangeCompartmentDetails,
    CreateSecretDetails,
    Described,
    ExpiryRule,
    ReuseRule,
    ScheduleDeletionDetails,
    SecretContent,
    UpdateSecretDetails,
    invalid,
)
from keepstep_localcloud.vault.model import RetryToken, Secret, Version, digest
from keepstep_localcloud.wire import ServiceError

MAX_IN_USE = 30
MAX_PENDING_DELETION = 30
"""Versions of one secret ("Secret Versions"). One more is 400 ``LimitExceeded``, a limit that Oracle defined;
``QuotaExceeded`` is for those that an administrator defined ("API Errors")."""


class Moment(NamedTuple):
    """When a change is made, and when the secret has settled after it."""

    now: datetime
    settled: datetime


def create(
    secret_id: str, when: Moment, details: CreateSecretDetails, retry_token: RetryToken | None = None
) -> Secret:
    _check_expiry(details, when.now)
    content = details.secret_content
    first = Version(number=1, content=content.content, created=when.now, name=content.name)
    return Secret(
        id=secret_id,
        vault_id=details.vault_id,
        compartment_id=details.compartment_id,
        key_id=details.key_id,
        secret_name=details.secret_name,
        created=when.now,
        versions=(first,),
        current=1,
        latest=1,
        transient="CREATING",
        settled=when.settled,
        retry_token=retry_token,
        **details.described(),
    )


def update(secret: Secret, when: Moment, details: UpdateSecretDetails) -> Secret:
    require(secret, "ACTIVE", when.now)
    _check_expiry(details, when.now)
    changes = details.described()
    if details.secret_content:
        changes |= _added(secret, details.secret_content, when.now)
    if details.current_version_number is not None:
        changes |= _promoted(secret, details.current_version_number)
    return _changed(secret, when, **changes)


def change_compartment(secret: Secret, when: Moment, details: ChangeCompartmentDetails) -> Secret:
    require(secret, "ACTIVE", when.now)
    return _changed(secret, when, compartment_id=details.compartment_id)


def schedule_version_deletion(
    secret: Secret, when: Moment, number: int, details: ScheduleDeletionDetails
) -> Secret:
    require(secret, "ACTIVE", when.now)
    version = secret.version(number)
    if version.deletion or "DEPRECATED" not in secret.stages(number):
        raise incorrect_state(f"version {number} is not DEPRECATED, or is pending deletion already")
    if _pending_deletion(secret) >= MAX_PENDING_DELETION:
        raise limit_exceeded(f"{MAX_PENDING_DELETION} versions are pending deletion")
    return _replaced(secret, when, version, deletion=_time_of_deletion(details, when.now))


def cancel_version_deletion(secret: Secret, when: Moment, number: int) -> Secret:
    require(secret, "ACTIVE", when.now)
    version = secret.version(number)
    if not version.deletion:
        raise incorrect_state(f"version {number} is not pending deletion")
    _require_room(secret)
    return _replaced(secret, when, version, deletion=None)


def schedule_deletion(secret: Secret, when: Moment, details: ScheduleDeletionDetails) -> Secret:
    require(secret, "ACTIVE", when.now)
    deletion = _time_of_deletion(details, when.now)
    return _changed(secret, when, "SCHEDULING_DELETION", state="PENDING_DELETION", deletion=deletion)


def cancel_deletion(secret: Secret, when: Moment) -> Secret:
    require(secret, "PENDING_DELETION", when.now)
    return _changed(secret, when, "CANCELLING_DELETION", state="ACTIVE", deletion=None)


def rotate(secret: Secret, when: Moment) -> Secret:
    """Begins a rotation. There is no target system here, so it goes on until it is cancelled."""
    require(secret, "ACTIVE", when.now)
    if not secret.rotation_config:
        raise invalid("the secret has no rotationConfig.targetSystemDetails")
    return _changed(secret, when, is_rotating=True)


def cancel_rotation(secret: Secret, when: Moment) -> Secret:
    """Ends the rotation under way, and disables the scheduled ones."""
    require(secret, "ACTIVE", when.now)
    if not secret.rotation_config or not secret.is_rotating:
        raise incorrect_state("no rotation is in progress")
    unscheduled = secret.rotation_config.model_copy(update={"is_scheduled_rotation_enabled": False})
    return _changed(secret, when, is_rotating=False, rotation_config=unscheduled)


def require(secret: Secret, state: str, now: datetime) -> None:
    actual = secret.lifecycle_state(now)
    if actual != state:
        raise incorrect_state(f"the secret is {actual}, not {state}")


def incorrect_state(message: str) -> ServiceError:
    return ServiceError(409, "IncorrectState", message)


def limit_exceeded(message: str) -> ServiceError:
    return ServiceError(400, "LimitExceeded", message)


def _added(secret: Secret, content: SecretContent, now: datetime) -> dict[str, Any]:
    _require_room(secret)
    if content.name and content.name in {version.name for version in secret.versions}:
        raise invalid("name already exists")
    _check_reuse(secret, content)
    number = secret.latest + 1
    version = Version(number=number, content=content.content, created=now, name=content.name)
    pointers = {"pending": number} if content.stage == "PENDING" else _pointed(secret, number)
    return {"versions": (*secret.versions, version), "latest": number} | pointers


def _promoted(secret: Secret, number: int) -> dict[str, Any]:
    version = next((version for version in secret.versions if version.number == number), None)
    if not version:
        raise invalid(f"currentVersionNumber: there is no version {number}")
    if version.deletion:
        raise incorrect_state(f"version {number} is pending deletion")
    return _pointed(secret, number)


def _pointed(secret: Secret, number: int) -> dict[str, Any]:
    if number == secret.current:
        return {}
    pending = None if secret.pending == number else secret.pending
    return {"current": number, "previous": secret.current, "pending": pending}


def _require_room(secret: Secret) -> None:
    if len(secret.versions) - _pending_deletion(secret) >= MAX_IN_USE:
        raise limit_exceeded(f"{MAX_IN_USE} versions are in use")


def _pending_deletion(secret: Secret) -> int:
    return sum(version.deletion is not None for version in secret.versions)


def _check_reuse(secret: Secret, content: SecretContent) -> None:
    rule = secret.rule(ReuseRule)
    if not rule:
        return
    used = {digest(version.content) for version in secret.versions}
    if rule.is_enforced_on_deleted_secret_versions:
        used |= secret.spent
    if digest(content.content) in used:
        raise invalid("the content was used before, which a SECRET_REUSE_RULE forbids")


def _check_expiry(details: Described, now: datetime) -> None:
    for rule in details.secret_rules or ():
        if isinstance(rule, ExpiryRule) and rule.time_of_absolute_expiry:
            _check_days_ahead("timeOfAbsoluteExpiry", rule.time_of_absolute_expiry - now, 365)


def _time_of_deletion(details: ScheduleDeletionDetails, now: datetime) -> datetime:
    deletion = details.time_of_deletion or now + timedelta(days=30)
    _check_days_ahead("timeOfDeletion", deletion - now, 30)
    return deletion


def _check_days_ahead(field: str, ahead: timedelta, most: int) -> None:
    if not timedelta(days=1) <= ahead <= timedelta(days=most):
        raise invalid(f"{field} must be between 1 and {most} days ahead")


def _replaced(secret: Secret, when: Moment, version: Version, **changes: Any) -> Secret:
    other = version.model_copy(update=changes)
    versions = tuple(other if kept is version else kept for kept in secret.versions)
    return _changed(secret, when, versions=versions)


def _changed(secret: Secret, when: Moment, transient: str = "UPDATING", **changes: Any) -> Secret:
    return secret.revised(transient=transient, settled=when.settled, **changes)

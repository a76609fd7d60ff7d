"""From the variables of the replaced tools: the sync container's, and the rotation worker's."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from keepstep.config import Database, RotateJob
from keepstep.drafts.draft import Draft, duration
from keepstep.errors import ConfigError
from keepstep.jobs.environment import CONTAINER_VARIABLES, ROTATION, SYNC, container_settings, rotation_of, sync_of
from keepstep.rotation.settings import VARIABLES

_OF_CONTAINER = ("SYNC_FROM", "SYNC_TO")
_OF_ROTATION = ("AWS_SECRET_ID", "OCI_SECRET_OCID", "RDS_HOST", "OCI_ADB_DSN")
_OF_CLOUDS = ("AWS_", "OCI_")


def draft_of_variables(variables: Mapping[str, str]) -> Draft:
    """The jobs that the variables describe, with the same settings.

    Raises :class:`ConfigError` that names the variable, or where they describe none.
    """
    draft = Draft("the variables of this environment")
    has_sync, has_rotation = (any(variables.get(name) for name in each) for each in (_OF_CONTAINER, _OF_ROTATION))
    if not has_sync and not has_rotation:
        raise ConfigError(
            "no variable of the sync container or of the rotation worker is set",
            hint="set SYNC_FROM and SYNC_TO, or AWS_SECRET_ID and OCI_SECRET_OCID, as they are there",
        )
    if has_sync:
        _sync(draft, variables)
    if has_rotation:
        _rotation(draft, variables)
    known = {*VARIABLES.values()}
    others = sorted(n for n in variables if n.startswith(_OF_CLOUDS) and n not in known and variables[n])
    if others:
        draft.steps.append(
            f"Clouds are signed in to as before, by what is set now and not in this file: {', '.join(others)}. "
            "Set the same where the daemon runs, or use [identity.oci] and [identity.aws]."
        )
    return draft


def _sync(draft: Draft, variables: Mapping[str, str]) -> None:
    given = container_settings(variables)
    sync_of(given).check()
    draft.table("job", SYNC, comment="The sync container's job (docs/container.md, docs/sync.md).")
    draft.set("kind", "sync")
    draft.set("source", variables["SYNC_FROM"], "SYNC_FROM", called="SYNC_FROM")
    draft.set("target", variables["SYNC_TO"], "SYNC_TO", called="SYNC_TO")
    params = given.params
    names = {"SYNC_PARAMS": given.params, "COMPLETION_FILENAME": given.completion}
    if given.target.kind == "local":
        # As the container does after each run, for everything beneath the target.
        for option, name, value in (("--chmod", "CHMOD_MODE", given.mode), ("--chown", "CHOWN_OWNER", given.owner)):
            params += f" {option} {shlex.quote(value)}" if value else ""
            names[name] = value
    params = params if given.params else params.lstrip()
    origin = ", ".join(name for name, value in names.items() if value)
    draft.set("params", params or None, origin, called=origin)
    is_at_boot = given.is_periodic and given.schedule.strip() == "@reboot"
    if given.is_periodic:
        draft.set(
            "schedule", given.schedule, "CRON_SCHEDULE: minute, hour, day, month, weekday", called="CRON_SCHEDULE"
        )
    if given.at_startup and not is_at_boot:
        draft.set("startup", True, "SYNC_MODE: also when the daemon starts")
    draft.set("deadline", given.deadline or None, "SYNC_DEADLINE: a longer run is stopped", called="SYNC_DEADLINE")
    draft.off('stale_after = "30h"  # alert when no new object has arrived for this long')
    if given.role:
        draft.table("job", SYNC, "identity", "aws")
        draft.set("role_arn", [given.role], "ROLE_ARN: assumed first, and renewed", called="ROLE_ARN")
    draft.called |= {f"job.{SYNC}.{key}": name for key, name in CONTAINER_VARIABLES.items()}
    _leave_out(draft, variables)


def _leave_out(draft: Draft, variables: Mapping[str, str]) -> None:
    """What only the container does."""
    if variables.get("SYNC_MODE") == "":
        draft.steps.append(
            "SYNC_MODE was empty, which means: do nothing. Remove schedule and startup to have it so."
        )
    if variables.get("COMPLETION_FILENAME"):
        draft.ignored.append(
            "COMPLETION_FILENAME: only the container touches it; here it is only left out of the sync"
        )
    if variables.get("SESSION_DEBUG"):
        draft.ignored.append("SESSION_DEBUG: keepstep doctor shows who is signed in")
    for name in ("CHMOD_MODE", "CHOWN_OWNER"):
        if variables.get(name) and ("://" in variables["SYNC_TO"] and not variables["SYNC_TO"].startswith("file:")):
            draft.ignored.append(f"{name}: SYNC_TO is no folder of this machine")


def _rotation(draft: Draft, variables: Mapping[str, str]) -> None:
    resolved = rotation_of(variables)
    resolved.check()
    job = resolved.job
    draft.table("job", ROTATION, comment="The rotation worker's job (docs/rotation.md).")
    draft.set("kind", "rotate")
    draft.set("schedule", "*/20 * * * *", "when it looks, as EventBridge's rule did")
    draft.set("interval", duration(job.interval.total_seconds()), "ROTATION_MINUTES: rotate when it is older")
    draft.set("strategy", job.strategy, "ROTATION_STRATEGY", called="ROTATION_STRATEGY")
    if job.strategy is None:
        draft.off('strategy = "alternating"  # single if not given; see docs/rotation.md before you change it')
    draft.set("aws_secret", job.aws_secret, "AWS_SECRET_ID: the credential, by its name", called="AWS_SECRET_ID")
    draft.set("oci_secret", job.oci_secret, "OCI_SECRET_OCID: the same credential", called="OCI_SECRET_OCID")
    draft.set("username", job.username, "OCI_ADB_USER: other users are refused", called="OCI_ADB_USER")
    if job.connection_blob and (blob := job.connection_blob.model_dump(exclude_none=True)):
        draft.set("connection_blob", blob, "AWS_CONN_BLOB_SECRET_ID, OCI_CONN_BLOB_SECRET_OCID")
    _audit(draft, job, variables)
    for database in job.database:
        _database(draft, database)
    draft.called |= {f"job.{ROTATION}.{key}": name for key, name in VARIABLES.items()}


def _audit(draft: Draft, job: RotateJob, variables: Mapping[str, str]) -> None:
    if job.audit:
        draft.set(
            "audit", {"log": job.audit.log, "key": job.audit.key}, "AUDIT_LOG, AUDIT_HASH_SALT_SSM: a signed log"
        )
        return
    draft.off('audit = { log = "s3://audit/rotations/", key = "aws-ssm:/keepstep/audit-salt" }  # a signed log')
    if variables.get("AUDIT_HASH_SALT_SSM"):
        draft.ignored.append("AUDIT_HASH_SALT_SSM: AUDIT_LOG does not say where the log is")


def _database(draft: Draft, database: Database) -> None:
    draft.table("job", ROTATION, "database", is_array=True)
    names = {"ca": "RDS_CA: the only authorities that are trusted", "admin": "ADMIN_SECRET_ID: who may change it"}
    values = database.model_dump(exclude_none=True, mode="json")
    for key, value in values.items():
        draft.set(key, value, names.get(key, VARIABLES.get(key, "")), called=VARIABLES.get(key, key))
    if "admin" not in values:
        draft.off('admin = "aws-sm:app-admin"  # without it the credential changes itself')

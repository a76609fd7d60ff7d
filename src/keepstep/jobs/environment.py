"""The variables of the replaced tools, and the jobs that they describe.

``SYNC_FROM`` and the like are those of the sync container, ``AWS_SECRET_ID`` and the like those of the rotation
function, ``KEEPSTEP_CONFIG`` and ``KEEPSTEP_JOB`` those of hosts without a command line. An empty variable counts
as not set. A job from variables is independent of any keepstep.toml: it runs with the host's own identities and
``ROLE_ARN``.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from glob import escape
from typing import TYPE_CHECKING, Any

from keepstep.errors import ConfigError
from keepstep.jobs.settings import naming
from keepstep.stores.address import Address, parse
from keepstep.units import bounded

if TYPE_CHECKING:
    from keepstep.config import Audit, RotateJob
    from keepstep.jobs.resolved import ResolvedJob
    from keepstep.jobs.rotate import ResolvedRotation
    from keepstep.jobs.sync import ResolvedSync
    from keepstep.vaults.address import SecretAddress

CONFIG, JOB = "KEEPSTEP_CONFIG", "KEEPSTEP_JOB"
ROTATION = "rotation"
"""The name of a rotation from variables, also in its audit log."""
SYNC = "sync"
"""The name of the container's job."""
CONTAINER_VARIABLES = {
    "schedule": "CRON_SCHEDULE",
    "source": "SYNC_FROM",
    "target": "SYNC_TO",
    "params": "SYNC_PARAMS",
    "deadline": "SYNC_DEADLINE",
    "identity.aws.role_arn": "ROLE_ARN",
}
"""The container's variables, by the key of the job that each sets."""
_MODES = ("PERIODIC", "STARTUP", "STARTUP+PERIODIC")
_TOML = """
[state]
url = "sqlite:///${KEEPSTEP_STATE}"
[daemon]
drain = "0s"
[job.sync]
kind = "sync"
source = "${SYNC_FROM}"
target = "${SYNC_TO}"
params = "${KEEPSTEP_PARAMS}"
"""
"""The values stay in the environment, so that nothing in them can be parsed as TOML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSettings:
    """The container's settings."""

    source: Address
    target: Address
    params: str = ""
    schedule: str = "0 * * * *"
    deadline: str = ""
    at_startup: bool = True
    is_periodic: bool = True
    role: str = ""
    shows_session: bool = False
    mode: str = ""
    owner: str = ""
    completion: str = ""

    @property
    def local(self) -> str:
        """The local folder: the target, otherwise the source; empty between clouds."""
        return self.target.path or self.source.path

    @property
    def toml(self) -> str:
        parts = [_TOML]
        if self.is_periodic:
            parts.append('schedule = "${CRON_SCHEDULE}"\n')
        if self.at_startup:
            parts.append("startup = true\n")
        if self.deadline:
            parts.append('deadline = "${SYNC_DEADLINE}"\n')
        if self.role:
            parts.append('[identity.aws]\nrole_arn = "${ROLE_ARN}"\n')
        return "".join(parts)


def container_settings(variables: Mapping[str, str]) -> ContainerSettings:
    """Parses the variables. An empty one counts as not set, except the mode. Raises :class:`ConfigError`."""
    given = {name: value for name, value in variables.items() if value}
    for name in ("SYNC_FROM", "SYNC_TO"):
        if name not in given:
            raise ConfigError(f"{name} is not set", hint="set SYNC_FROM and SYNC_TO, or mount a keepstep.toml")
    mode = given.get("SYNC_MODE", "STARTUP+PERIODIC").strip().upper()
    if mode not in _MODES:
        raise ConfigError(
            f"SYNC_MODE={mode} is not a mode", hint=f"use one of {', '.join(_MODES)}, or leave it empty"
        )
    completion = given.get("COMPLETION_FILENAME", "")
    if os.path.isabs(completion) or ".." in completion.split("/"):
        raise ConfigError("COMPLETION_FILENAME points outside the synced folder", hint="give a name without a path")
    return ContainerSettings(
        source=_address(given, "SYNC_FROM"),
        target=_address(given, "SYNC_TO"),
        params=_params(given.get("SYNC_PARAMS", ""), completion),
        schedule=given.get("CRON_SCHEDULE", "0 * * * *"),
        deadline=given.get("SYNC_DEADLINE", ""),
        at_startup="STARTUP" in mode,
        is_periodic="PERIODIC" in mode,
        role=given.get("ROLE_ARN", ""),
        shows_session=given.get("SESSION_DEBUG") == "1",
        mode=given.get("CHMOD_MODE", ""),
        owner=given.get("CHOWN_OWNER", ""),
        completion=completion,
    )


def _address(given: Mapping[str, str], name: str) -> Address:
    with naming(name):
        return parse(given[name])


def _params(text: str, completion: str) -> str:
    """The given params, with the completion file excluded."""
    try:
        shlex.split(text)
    except ValueError as exc:
        raise ConfigError(f"SYNC_PARAMS cannot be parsed: {exc}", hint="close every quote") from None
    return f"{text} --exclude {shlex.quote(escape(completion))}" if completion else text


def sync_of(settings: ContainerSettings) -> ResolvedSync:
    """The container's job."""
    from keepstep.config import AwsIdentityConfig, Config, Identities, SyncJob
    from keepstep.jobs.sync import ResolvedSync

    roles = [settings.role] if settings.role else []
    job = SyncJob(
        kind="sync",
        source=str(settings.source),
        target=str(settings.target),
        params=settings.params,
        identity=Identities(aws=AwsIdentityConfig(role_arn=roles)),
    )
    return ResolvedSync(name=SYNC, config=Config(), job=job, is_recorded=False, variables=CONTAINER_VARIABLES)


def rotation_of(variables: Mapping[str, str]) -> ResolvedRotation:
    """The rotation that the variables describe. Raises :class:`ConfigError` that names the variable."""
    from keepstep.config import Config
    from keepstep.jobs.rotate import ResolvedRotation
    from keepstep.rotation.settings import VARIABLES

    job = _rotate_job(variables)
    return ResolvedRotation(name=ROTATION, config=Config(), job=job, is_recorded=False, variables=VARIABLES)


def job_of_variables(variables: Mapping[str, str]) -> ResolvedJob | None:
    """The job that a host with these variables would run; None if they describe none."""
    if variables.get("SYNC_FROM"):
        return sync_of(container_settings(variables))
    return rotation_of(variables) if variables.get("AWS_SECRET_ID") else None


def audit_of(variables: Mapping[str, str]) -> Audit | None:
    """Where a rotation from variables writes its log, even if the rest of the rotation is not set."""
    from keepstep.config import Audit

    log, key = variables.get("AUDIT_LOG"), variables.get("AUDIT_HASH_SALT_SSM")
    return Audit(log=log, key=key) if log and key else None


def audit_key_of(variables: Mapping[str, str]) -> SecretAddress | None:
    """The key of such a log, even if the log is not set."""
    from keepstep.jobs.audit import key_of

    text = variables.get("AUDIT_HASH_SALT_SSM")
    return key_of(text) if text else None


def _rotate_job(variables: Mapping[str, str]) -> RotateJob:
    """The job that the variables describe. Raises :class:`ConfigError` that names the variable."""
    from pydantic import ValidationError

    from keepstep.config import RotateJob
    from keepstep.rotation.settings import as_variable

    given = {name: value for name, value in variables.items() if value}
    fields: dict[str, Any] = {
        "kind": "rotate",
        "interval": _minutes(given.get("ROTATION_MINUTES", "20")),
        "strategy": given.get("ROTATION_STRATEGY"),
        "aws_secret": given.get("AWS_SECRET_ID"),
        "oci_secret": given.get("OCI_SECRET_OCID"),
        "username": given.get("OCI_ADB_USER"),
        "database": [database for database in (_rds(given), _adb(given)) if database],
        "audit": _audit(given),
        "connection_blob": {
            "aws": given.get("AWS_CONN_BLOB_SECRET_ID"),
            "oci": given.get("OCI_CONN_BLOB_SECRET_OCID"),
        },
    }
    if not fields["oci_secret"]:
        raise ConfigError("OCI_SECRET_OCID is not set", hint="it is the OCID of the credential in OCI Vault")
    if not fields["database"]:
        raise ConfigError(
            "neither RDS_HOST nor OCI_ADB_DSN is set", hint="set one of them to say whose password to rotate"
        )
    try:
        return RotateJob.model_validate(fields)
    except ValidationError as exc:
        error = exc.errors(include_url=False, include_input=False)[0]
        variable = as_variable(str(error["loc"][-1]))
        raise ConfigError(f"{variable}: {error['msg']}") from None


def _minutes(text: str) -> timedelta:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or not float(text):
        raise ConfigError(f"ROTATION_MINUTES is {text[:100]!r}, not a number of minutes", hint="write it as 20")
    try:
        return bounded(60 * float(text))
    except ValueError as exc:
        raise ConfigError(f"ROTATION_MINUTES: {exc}", hint="write it as 20") from None


def _rds(given: Mapping[str, str]) -> dict[str, Any] | None:
    if "RDS_HOST" not in given:
        return None
    if "RDS_DBNAME" not in given:
        raise ConfigError("RDS_HOST is set, but RDS_DBNAME is not")
    return {
        "engine": given.get("RDS_ENGINE", "postgres").lower(),
        "host": given["RDS_HOST"],
        "port": given.get("RDS_PORT"),
        "name": given["RDS_DBNAME"],
        "ca": given.get("RDS_CA"),
        "admin": given.get("ADMIN_SECRET_ID"),
    }


def _adb(given: Mapping[str, str]) -> dict[str, Any] | None:
    if "OCI_ADB_DSN" not in given:
        return None
    return {
        "engine": "oracle",
        "dsn": given["OCI_ADB_DSN"],
        "wallet": given.get("OCI_ADB_WALLET"),
        "admin": given.get("ADMIN_SECRET_ID"),
    }


def _audit(given: Mapping[str, str]) -> dict[str, str] | None:
    log, key = given.get("AUDIT_LOG"), given.get("AUDIT_HASH_SALT_SSM")
    if log and not key:
        raise ConfigError(
            "AUDIT_LOG is set, but AUDIT_HASH_SALT_SSM is not", hint="entries are signed with that parameter"
        )
    return {"log": log, "key": key} if log and key else None

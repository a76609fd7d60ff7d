"""What ``keepstep rotate`` works on: a job of keepstep.toml, or the variables of the function that it replaces."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import click
from pydantic import ValidationError

from keepstep.cli.options import config_file
from keepstep.config import Config, Identities, RotateJob, job_of, load
from keepstep.errors import ConfigError
from keepstep.rotation.settings import Called, as_key, as_variable
from keepstep.units import bounded

NAME = "rotation"
"""What a rotation without a configuration is called, also in its audit log."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A job, ready to be wired."""

    name: str
    job: RotateJob
    identity: Identities
    called: Called = as_key
    """What the user calls a setting."""
    config: Config | None = None
    """None: nothing is kept of the run, neither a lock nor a record."""


def work_of(ctx: click.Context, name: str | None) -> Work:
    """The job of that name; without one the environment's, else the only one that is configured.

    Raises :class:`ConfigError`.
    """
    if name is None and "AWS_SECRET_ID" in os.environ:
        found = job_of_environment(os.environ)
        return Work(name=NAME, job=found, identity=Identities(), called=as_variable)
    path = config_file(ctx)
    if path is None:
        raise ConfigError(
            "nothing says what to rotate: there is no keepstep.toml, and AWS_SECRET_ID is not set",
            hint="keepstep rotate JOB with a [job.JOB] of kind rotate, or the variables of docs/rotation.md",
        )
    config = load(path)
    name = name or _only(config)
    job = job_of(config, name)
    if not isinstance(job, RotateJob):
        raise ConfigError(f"the job {name} is of kind {job.kind}, not rotate")
    return Work(name=name, job=job, identity=job.identity or config.identity, config=config)


def job_of_environment(variables: Mapping[str, str]) -> RotateJob:
    """The job that the variables describe. Raises :class:`ConfigError` that names the variable."""
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
            "neither RDS_HOST nor OCI_ADB_DSN is set", hint="one of them says whose password to rotate"
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
        raise ConfigError("RDS_HOST is set, and RDS_DBNAME is not")
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
            "AUDIT_LOG is set, and AUDIT_HASH_SALT_SSM is not", hint="entries are signed with that parameter"
        )
    return {"log": log, "key": key} if log and key else None


def _only(config: Config) -> str:
    names = [name for name, job in config.job.items() if isinstance(job, RotateJob)]
    if len(names) != 1:
        known = ", ".join(sorted(names)) or "none"
        raise ConfigError("say which job to rotate", hint=f"jobs of kind rotate: {known}")
    return names[0]

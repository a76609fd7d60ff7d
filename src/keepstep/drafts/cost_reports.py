"""From the terraform.tfvars of a cost-report machine: oci-rclone-sync's, or deploy/tofu/oci-cost-reports'."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from keepstep.drafts.draft import Draft
from keepstep.drafts.tfvars import read_tfvars
from keepstep.errors import ConfigError

JOB = "cost-reports"
PROFILE = "keepstep"
"""In ~/.oci/config and in AWS's files."""
_INCLUDE = "FOCUS Reports/*"
_SCHEDULE = "0 */6 * * *"

_MACHINE = (
    "name vcn_cidr bastion_client_cidrs availability_domain image_ocid mirror_port shape ssh_public_key log_file"
    " tags package existing_bucket inject inject_until roles_anywhere api_public_key"
).split()
"""Of the module's own: how a machine is made."""


def draft_of_tfvars(path: Path) -> Draft:
    """The job that the machine ran. Secrets among the variables are not copied: steps say where they go.

    Raises :class:`ConfigError` that names the line or the variable.
    """
    return _Tfvars(path, read_tfvars(path)).draft()


class _Tfvars:
    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self._path = path
        self._values = values
        self._taken: set[str] = set()
        self._draft = Draft(str(path))

    def draft(self) -> Draft:
        tenancy = self._needed("tenancy_ocid")
        bucket = self._needed("aws_s3_bucket_name", "bucket_name")
        prefix = (self._text("aws_s3_prefix", "bucket_prefix") or "").strip("/")
        self._identities(tenancy)
        self._job(tenancy, bucket, prefix)
        self._alerts()
        self._rest()
        return self._draft

    def _identities(self, tenancy: str) -> None:
        draft = self._draft
        region = self._text("region") or "<the tenancy's home region>"
        fingerprint = self._text("oci_api_key_fingerprint") or "<the key's fingerprint>"
        user = self._text("oci_rclone_user_email", "user_email")
        has_key = bool(self._text("oci_api_private_key"))
        draft.table(
            "identity",
            "oci",
            comment="Who reads the reports: a user with an API key, as an instance may not in most tenancies.",
        )
        draft.set("auth", "api_key")
        draft.set("profile", PROFILE, "of ~/.oci/config")
        draft.comment(
            f"~/.oci/config: [{PROFILE}] user=<OCID of rclone-sync> fingerprint={fingerprint} tenancy={tenancy} "
            f"region={region} key_file=~/.oci/{PROFILE}.pem"
        )
        key = "the text of oci_api_private_key" if has_key else "the private key of that user"
        of_user = f" (the user of {user})" if user else ""
        draft.steps.append(
            f"Add the profile [{PROFILE}] of the comment under [identity.oci] to ~/.oci/config, with the OCID of "
            f"the user rclone-sync{of_user}, and put {key} into ~/.oci/{PROFILE}.pem with mode 600. "
            "region has to be the tenancy's home region."
        )
        keys = [bool(self._text(name)) for name in ("aws_access_key", "aws_secret_key")]
        draft.table("identity", "aws", comment="Who writes to S3.")
        draft.set("region", self._text("aws_region"), "aws_region: of the bucket", called="aws_region")
        if any(keys):
            draft.set("profile", PROFILE, "of ~/.aws/credentials")
            draft.steps.append(
                f"Put aws_access_key and aws_secret_key into ~/.aws/credentials: aws configure --profile {PROFILE}"
            )
        else:
            draft.steps.append("Sign in to AWS in any way that the aws command knows; nothing is set here.")

    def _job(self, tenancy: str, bucket: str, prefix: str) -> None:
        draft = self._draft
        include = self._text("include") or _INCLUDE
        draft.table("job", JOB, comment="OCI's cost reports to S3 (docs/cost-reports.md).")
        draft.set("kind", "sync")
        draft.set("source", f"oci://{tenancy}@bling/", "tenancy_ocid", called="tenancy_ocid")
        target = f"s3://{bucket}/{prefix}/" if prefix else f"s3://{bucket}/"
        draft.set("target", target, "aws_s3_bucket_name, aws_s3_prefix", called="aws_s3_bucket_name")
        draft.set(
            "params",
            f"--exclude '*' --include {shlex.quote(include)}",
            "leave it out to have every form of reports",
        )
        draft.set(
            "schedule",
            self._text("schedule") or _SCHEDULE,
            "Oracle writes about every six hours",
            called="schedule",
        )
        draft.set("startup", True, "also when the daemon starts")
        draft.set("stale_after", "30h", "alert when no new report has arrived for this long")
        hours = self._values.get("success_within_hours")
        self._taken.add("success_within_hours")
        if isinstance(hours, int) and not isinstance(hours, bool) and 0 < hours < 10000:
            draft.set("success_within", f"{hours}h", "success_within_hours")

    def _alerts(self) -> None:
        email = self._text("alert_email_address", "alert_email")
        urls = self._values.get("alert_urls") or []
        self._taken.add("alert_urls")
        to = email or "ops@example.com"
        self._draft.example(
            "Who is told when a copy fails (docs/alerts.md). Passwords stay in the environment.",
            ["[alerts]", f'urls = ["mailtos://user:${{SMTP_PASSWORD}}@smtp.example.com?to={to}"]'],
        )
        if email:
            self._draft.steps.append(f"Alerts go to nobody yet: name a mail server for {email} in [alerts] urls.")
        if urls:
            self._draft.steps.append(
                "alert_urls may have passwords in them, and were not copied: write them to [alerts] urls."
            )

    def _rest(self) -> None:
        reasons = dict.fromkeys(_MACHINE, "it is about how a machine is made")
        reasons |= dict.fromkeys(("existing_compartment_id", "compartment_ocid"), "nothing is made here")
        reasons |= dict.fromkeys(
            (
                "inject_oci_private_key_via_cloud_init",
                "inject_aws_credentials_via_cloud_init",
                "create_aws_secrets",
            ),
            "keys are in ~/.oci and ~/.aws here; a job of kind secrets can bring them from a vault",
        )
        reasons |= dict.fromkeys(
            ("api_key_secret_ocid", "aws_access_key_secret_ocid"),
            "a job of kind secrets can bring it: docs/secrets.md",
        )
        for name in self._values:
            if name not in self._taken:
                self._draft.ignored.append(f"{name}: {reasons.get(name, 'not a known variable')}")

    def _text(self, *names: str) -> str | None:
        """Of the first of these that is set. Raises :class:`ConfigError` for what is no text."""
        self._taken.update(names)
        for name in names:
            value = self._values.get(name)
            if value is not None and not isinstance(value, str):
                raise ConfigError(f"{self._path}: {name} is no text", hint=f'write it as {name} = "…"')
            if value:
                return value
        return None

    def _needed(self, *names: str) -> str:
        found = self._text(*names)
        if not found:
            raise ConfigError(f"{self._path}: {names[0]} is missing", hint=f'add {names[0]} = "…"')
        return found

"""A few questions, each with a default and what it is for, and the draft that the answers make."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Protocol

from keepstep.clouds.oci_config import OciSettings, read_profile
from keepstep.databases.engines import Engine
from keepstep.drafts.draft import Draft
from keepstep.errors import ConfigError, Error
from keepstep.schedules.schedule import parse_schedule
from keepstep.stores.address import parse
from keepstep.vaults.address import parse as parse_secret

Check = Callable[[str], object]
"""Raises :class:`Error` or ``ValueError`` for an answer that makes no sense."""


class Ask(Protocol):
    """Puts one question; asks again until ``check`` takes the answer. An empty answer is the default."""

    def __call__(self, question: str, why: str, default: str, check: Check) -> str: ...


_ENGINES = [str(each) for each in Engine]


@dataclass(frozen=True)
class _Job:
    what: str
    draft: Callable[[Draft, Ask], None]


def draft_of_answers(ask: Ask) -> Draft:
    """Asks what to do first, and what that needs."""
    draft = Draft("answers at a terminal")
    kinds = {
        "cost-reports": _Job("OCI's cost reports to S3", _cost_reports),
        "sync": _Job("a folder or bucket to another", _sync),
        "secrets": _Job("secrets of a vault into files", _secrets),
        "rotate": _Job("a database password, rotated in both clouds", _rotate),
    }

    def known(text: str) -> None:
        if text not in kinds:
            raise ValueError(f"it is one of {', '.join(kinds)}")

    why = "; ".join(f"{name}: {job.what}" for name, job in kinds.items())
    chosen = ask(
        "What should keepstep do first?", f"{why}. More jobs can be added to the file later.", "cost-reports", known
    )
    kinds[chosen].draft(draft, ask)
    draft.example(
        "Who is told when a run fails (docs/alerts.md). Passwords stay in the environment.",
        ["[alerts]", 'urls = ["mailtos://user:${SMTP_PASSWORD}@smtp.example.com?to=ops@example.com"]'],
    )
    return draft


def _cost_reports(draft: Draft, ask: Ask) -> None:
    tenancy = ask(
        "The OCID of your tenancy?",
        "Oracle puts its reports into a bucket of that name.",
        _tenancy() or "ocid1.tenancy.oc1..aaaa",
        _is_tenancy,
    )
    target = ask("Where should the reports go?", "A bucket and folder of S3.", "s3://finops/oci/", parse)
    include = ask(
        "Which reports?",
        "A pattern: 'FOCUS Reports/*', or '*' for Oracle's own formats too.",
        "FOCUS Reports/*",
        _is_text,
    )
    _put_sync(
        draft,
        "cost-reports",
        f"oci://{tenancy}@bling/",
        target,
        f"--exclude '*' --include {shlex.quote(include)}",
        ask,
    )
    draft.set("stale_after", "30h", "alert when no new report has arrived for this long")


def _sync(draft: Draft, ask: Ask) -> None:
    why = "A path, s3://bucket/prefix/ or oci://bucket@namespace/prefix/."
    source = ask("From where?", why, "./site/", parse)
    target = ask("To where?", why, "s3://bucket/site/", parse)
    delete = ask(
        "Delete what is not at the source?",
        "yes or no; at most half of the target without --max-delete.",
        "no",
        _is_choice,
    )
    _put_sync(draft, "sync", source, target, "--delete" if delete == "yes" else "", ask)


def _put_sync(draft: Draft, name: str, source: str, target: str, params: str, ask: Ask) -> None:
    schedule = _schedule(ask, "0 */6 * * *")
    draft.table("job", name, comment="docs/sync.md has every option of params.")
    draft.set("kind", "sync")
    draft.set("source", source)
    draft.set("target", target)
    draft.set("params", params or None)
    _put_schedule(draft, schedule)


def _secrets(draft: Draft, ask: Ask) -> None:
    why = "ocid1.vaultsecret…, aws-sm:NAME or aws-ssm:NAME; #field picks one field of a JSON secret."
    secret = ask("Which secret?", why, "aws-sm:app/db#password", parse_secret)
    path = ask(
        "Into which file?", "Best in memory, such as /run/secrets.", "/run/secrets/db_password", _is_absolute
    )
    mode = ask("With which mode?", "In octal; its owner is who runs keepstep.", "0600", _is_mode)
    schedule = _schedule(ask, "0 */6 * * *")
    draft.table("job", "secrets", comment="docs/secrets.md has owners, templates, and who is told of a change.")
    draft.set("kind", "secrets")
    _put_schedule(draft, schedule)
    draft.table("job", "secrets", "file", is_array=True)
    draft.set("secret", secret)
    draft.set("path", path)
    draft.set("mode", mode)
    draft.off('notify = [{ container = "app", signal = "HUP" }]')


def _rotate(draft: Draft, ask: Ask) -> None:
    aws = ask("The credential in AWS Secrets Manager?", "A name or an ARN.", "aws-sm:app/db", _is_of("aws-sm"))
    oci = ask(
        "The same credential in OCI Vault?",
        "The OCID of the secret.",
        "ocid1.vaultsecret.oc1.eu-frankfurt-1.aaaa",
        _is_of("oci-vault"),
    )
    engine = ask("Which database?", ", ".join(_ENGINES), "postgres", _is_engine)
    host = ask("On which host?", "By name; TLS is always verified.", "db.example.com", _is_text)
    name = ask("The name of the database?", "For Oracle the service.", "app", _is_text)
    draft.table("job", "rotate", comment="docs/rotation.md has strategies, audit log and connection blobs.")
    draft.set("kind", "rotate")
    draft.set("schedule", "*/20 * * * *", "when it looks")
    draft.set("interval", "24h", "rotate when the password is older")
    draft.off('strategy = "alternating"           # two users take turns; single if not given')
    draft.set("aws_secret", aws)
    draft.set("oci_secret", oci)
    draft.table("job", "rotate", "database", is_array=True)
    draft.set("engine", engine)
    draft.set("host", host)
    draft.set("name", name)
    draft.off('admin = "aws-sm:app-admin"          # without it the credential changes itself')


def _schedule(ask: Ask, default: str) -> str:
    why = "Minute, hour, day, month, weekday; or @every 30m; or never, for runs by hand."
    return ask("When?", why, default, lambda text: text == "never" or parse_schedule(text, UTC))


def _put_schedule(draft: Draft, schedule: str) -> None:
    if schedule == "never":
        draft.off('schedule = "0 */6 * * *"')
        return
    draft.set("schedule", schedule)
    if schedule != "@reboot":
        draft.set("startup", True, "also when the daemon starts")


def _tenancy() -> str:
    """That of the OCI configuration of this machine, if there is one."""
    try:
        return read_profile(OciSettings()).get("tenancy")
    except Error:
        return ""


def _is_tenancy(text: str) -> None:
    if not re.fullmatch(r"ocid1\.tenancy\.[\w-]+\.[\w-]*\.[\w.-]+", text):
        raise ValueError("it begins with ocid1.tenancy.")


def _is_text(text: str) -> None:
    if not text.strip() or not text.isprintable():
        raise ValueError("it has no characters that can be seen")


def _is_choice(text: str) -> None:
    if text not in ("yes", "no"):
        raise ValueError("it is yes or no")


def _is_absolute(text: str) -> None:
    if not os.path.isabs(text):
        raise ValueError("the path begins with /")


def _is_mode(text: str) -> None:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError("it has three digits from 0 to 7, such as 0600")


def _is_engine(text: str) -> None:
    if text not in _ENGINES:
        raise ValueError(f"it is one of {', '.join(_ENGINES)}")


def _is_of(vault: str) -> Check:
    def check(text: str) -> None:
        if parse_secret(text, bare=vault).vault != vault:
            raise ConfigError(f"it is no secret of {vault}")

    return check

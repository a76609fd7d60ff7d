"""Where the secrets are: in memory to be read, in SQLite to outlive the process, and as they were before.

Secrets Manager is eventually consistent: a read may answer from before a write. A stale view shows each secret as
it was before the last write to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from keepstep_localcloud.aws.database import open_database
from keepstep_localcloud.secretsmanager.model import Secret, missing

SCHEMA = "CREATE TABLE IF NOT EXISTS secrets (arn TEXT PRIMARY KEY, document TEXT NOT NULL)"

View = Mapping[str, Secret]
"""Secrets by ARN."""


class SecretStore:
    """All regions' secrets. What it hands out is not to be changed: change a copy, then :meth:`save` it."""

    def __init__(self, path: Path | None) -> None:
        self._database = open_database(path, SCHEMA)
        rows = self._database.execute("SELECT document FROM secrets ORDER BY rowid").fetchall()
        secrets = (Secret.model_validate_json(document) for (document,) in rows)
        self._secrets = {secret.arn: secret for secret in secrets}
        self._before: dict[str, Secret | None] = {}

    def close(self) -> None:
        self._database.close()

    def view(self, *, stale: bool) -> View:
        if not stale:
            return self._secrets
        then = {**self._secrets, **self._before}
        return {arn: secret for arn, secret in then.items() if secret}

    def save(self, secret: Secret) -> None:
        self._before[secret.arn] = self._secrets.get(secret.arn)
        self._write(secret)

    def note_access(self, arn: str, version_id: str, day: datetime) -> None:
        """Keeps the day of the last read (a stale one may be of what is gone); that is not a write."""
        now = self._secrets.get(arn)
        if now and version_id in now.versions and now.versions[version_id].accessed != day:
            now.accessed = now.versions[version_id].accessed = day
            self._write(now)

    def delete(self, arn: str) -> None:
        self._before[arn] = self._secrets.pop(arn)
        self._database.execute("DELETE FROM secrets WHERE arn = ?", (arn,))

    def delete_gone(self, now: datetime) -> None:
        """Removes what is past its recovery window."""
        for secret in [secret for secret in self._secrets.values() if secret.gone and secret.gone <= now]:
            self.delete(secret.arn)

    def _write(self, secret: Secret) -> None:
        self._secrets[secret.arn] = secret
        self._database.execute(
            "INSERT INTO secrets VALUES (?, ?) ON CONFLICT (arn) DO UPDATE SET document = excluded.document",
            (secret.arn, secret.model_dump_json()),
        )


def in_region(view: View, region: str) -> list[Secret]:
    return [secret for secret in view.values() if secret.arn.split(":")[3] == region]


def find(view: View, region: str, secret_id: str) -> Secret:
    """By ARN, by name, or by ARN without its last six characters. Raises ``ResourceNotFoundException``."""
    for secret in in_region(view, region):
        if secret_id in (secret.arn, secret.name, secret.arn[:-7]):
            return secret
    raise missing()

"""AWS Secrets Manager, written to: versions with ids that keepstep chooses, and labels that move only from where
they are.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html and
API_UpdateSecretVersionStage.html.
"""

from __future__ import annotations

from keepstep.clouds.document import JsonDocument
from keepstep.errors import Refused
from keepstep.secret import Secret
from keepstep.vaults.address import region_of_arn
from keepstep.vaults.aws_secrets import SecretsManagerVault
from keepstep.vaults.interface import Stage, VersionId
from keepstep.vaults.staging import SecretState


class SecretsManagerStages(SecretsManagerVault):
    """A :class:`~keepstep.vaults.staging.LabelledVault`."""

    async def describe(self, name: str) -> SecretState:
        answer = await self._calls.call("DescribeSecret", name, region_of_arn(name), SecretId=name)
        _check_writable(answer, name)
        ids = answer.inner("VersionIdsToStages")
        labels = {label: VersionId(version) for version in ids.names() for label in ids.texts(version)}
        return SecretState(
            name=name,
            id=answer.text("ARN"),
            stages={stage: labels[f"AWS{stage}"] for stage in Stage if f"AWS{stage}" in labels},
            labels=labels,
            changed=answer.moment("LastChangedDate") or answer.moment("CreatedDate"),
        )

    async def put(self, name: str, version: str, content: Secret, label: str) -> bool:
        answer = await self._calls.call(
            "PutSecretValue",
            name,
            region_of_arn(name),
            SecretId=name,
            ClientRequestToken=version,
            SecretString=content.reveal(),
            VersionStages=[label],
        )
        return label in answer.texts("VersionStages")

    async def move(self, name: str, label: str, *, to: VersionId | None, away_from: VersionId | None) -> None:
        ends = {"MoveToVersionId": to, "RemoveFromVersionId": away_from}
        await self._calls.call(
            "UpdateSecretVersionStage",
            name,
            region_of_arn(name),
            SecretId=name,
            VersionStage=label,
            **{end: version for end, version in ends.items() if version},
        )


def _check_writable(answer: JsonDocument, name: str) -> None:
    if deleted := answer.moment("DeletedDate"):
        raise Refused(
            f"{name} is marked for deletion since {deleted:%Y-%m-%d}",
            hint="aws secretsmanager restore-secret brings it back",
        )
    if answer.flag("RotationEnabled"):
        raise Refused(
            f"{name} is rotated by Secrets Manager itself",
            hint="two rotators undo each other: aws secretsmanager cancel-rotate-secret, or leave the job out",
        )
    primary = answer.text("PrimaryRegion", "")
    if primary and primary != region_of_arn(answer.text("ARN")):
        raise Refused(f"{name} is a replica", hint=f"name the secret in its primary region, {primary}")

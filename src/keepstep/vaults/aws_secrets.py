"""AWS Secrets Manager: secrets by name or ARN.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

from __future__ import annotations

from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.document import JsonDocument
from keepstep.secret import Secret
from keepstep.vaults.address import region_of_arn
from keepstep.vaults.aws_calls import AwsCalls
from keepstep.vaults.interface import SecretValue, Stage, Version, VersionId, Which, which_text
from keepstep.vaults.paging import every_page

_PREFIX = "AWS"


class SecretsManagerVault:
    """Text and binary secrets alike, as bytes; text is UTF-8. An ARN is asked for in its own region."""

    def __init__(self, identity: AwsIdentity) -> None:
        self._calls = AwsCalls("secretsmanager", identity)

    async def authenticate(self) -> None:
        await self._calls.authenticate()

    async def get(self, name: str, which: Which = Stage.CURRENT) -> SecretValue:
        selector = {"VersionStage": _PREFIX + which} if isinstance(which, Stage) else {"VersionId": which}
        what = f"{name}{which_text(which)}"
        answer = await self._calls.call("GetSecretValue", what, region_of_arn(name), SecretId=name, **selector)
        content = answer.data("SecretBinary") if "SecretBinary" in answer else answer.text("SecretString")
        return SecretValue(_version(answer), Secret(content))

    async def versions(self, name: str) -> list[Version]:
        """Versions without a label, which AWS may delete at any time, are left out."""

        async def ask(token: str) -> tuple[list[JsonDocument], str]:
            more = {"NextToken": token} if token else {}
            answer = await self._calls.call(
                "ListSecretVersionIds", name, region_of_arn(name), SecretId=name, **more
            )
            return answer.listed("Versions", is_required=True), answer.text("NextToken", "")

        return sorted(map(_version, await every_page(ask, name)), key=_age, reverse=True)

    async def close(self) -> None:
        await self._calls.close()


def _version(answer: JsonDocument) -> Version:
    labels = answer.texts("VersionStages")
    bare = (label.removeprefix(_PREFIX) for label in labels if label.startswith(_PREFIX))
    return Version(
        id=VersionId(answer.text("VersionId")),
        stages=frozenset(Stage(label) for label in bare if label in Stage.__members__),
        labels=labels,
        created=answer.moment("CreatedDate"),
    )


def _age(version: Version) -> tuple[float, bool]:
    """AWS's times are whole milliseconds, and what is pending is newer than what was made in the same one."""
    return version.created.timestamp() if version.created else 0.0, Stage.PENDING in version.stages

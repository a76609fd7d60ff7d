"""AWS Systems Manager Parameter Store: parameters by name or ARN, SecureStrings decrypted.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
"""

from __future__ import annotations

from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.document import JsonDocument
from keepstep.errors import NotFound
from keepstep.secret import Secret
from keepstep.vaults.address import region_of_arn
from keepstep.vaults.aws_calls import AwsCalls
from keepstep.vaults.interface import SecretValue, Stage, Version, VersionId, Which, which_text
from keepstep.vaults.paging import every_page


class ParameterStoreVault:
    """A parameter's newest version is CURRENT, the one before it PREVIOUS; there is no PENDING."""

    def __init__(self, identity: AwsIdentity) -> None:
        self._calls = AwsCalls("ssm", identity)

    async def authenticate(self) -> None:
        await self._calls.authenticate()

    async def get(self, name: str, which: Which = Stage.CURRENT) -> SecretValue:
        what = f"{name}{which_text(which)}"
        if which is Stage.CURRENT:
            return await self._get(name, "", what)
        if which is Stage.PENDING:
            raise NotFound(f"{what}: parameters have no pending version")
        if not isinstance(which, Stage):
            return await self._get(name, f":{which}", what)
        newest = int((await self._get(name, "", what)).version.id)
        return await self._get(name, f":{newest - 1}", what, newest)

    async def versions(self, name: str) -> list[Version]:
        async def ask(token: str) -> tuple[list[JsonDocument], str]:
            more = {"NextToken": token} if token else {}
            answer = await self._calls.call("GetParameterHistory", name, region_of_arn(name), Name=name, **more)
            return answer.listed("Parameters", is_required=True), answer.text("NextToken", "")

        found = await every_page(ask, name)
        newest = max((parameter.whole("Version") for parameter in found), default=0)
        versions = [_version(parameter, newest) for parameter in found]
        return sorted(versions, key=lambda version: int(version.id), reverse=True)

    async def close(self) -> None:
        await self._calls.close()

    async def _get(self, name: str, selector: str, what: str, newest: int | None = None) -> SecretValue:
        answer = await self._calls.call(
            "GetParameter", what, region_of_arn(name), Name=name + selector, WithDecryption=True
        )
        parameter = answer.inner("Parameter")
        known = newest if selector else parameter.whole("Version")
        return SecretValue(_version(parameter, known), Secret(parameter.text("Value")))


def _version(parameter: JsonDocument, newest: int | None) -> Version:
    """``newest`` None: where the version stands is not known."""
    number = parameter.whole("Version")
    stages = [Stage.CURRENT, Stage.PREVIOUS] if newest else []
    held = [stage for back, stage in enumerate(stages) if number == (newest or 0) - back]
    return Version(
        id=VersionId(str(number)),
        stages=frozenset(held),
        labels=parameter.texts("Labels"),
        created=parameter.moment("LastModifiedDate"),
    )

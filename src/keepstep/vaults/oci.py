"""OCI Vault: secrets by their OCID, through the secret retrieval API (20190301).

https://docs.oracle.com/en-us/iaas/api/#/en/secretretrieval/20190301/SecretBundle/GetSecretBundle
"""

from __future__ import annotations

import base64

from keepstep.clouds.document import JsonDocument, document_in, documents_in
from keepstep.clouds.http import Response
from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_regions import DOMAINS, region_of
from keepstep.clouds.oci_service import OciService, quoted
from keepstep.errors import Corrupt, Error, NotFound
from keepstep.secret import Secret
from keepstep.vaults.interface import SecretValue, Stage, Version, VersionId, Which, which_text
from keepstep.vaults.oci_errors import error_of
from keepstep.vaults.paging import every_page

_API = "/20190301/secretbundles"
_MOST = 1024 * 1024
"""Bytes of an answer. A secret has 25 KB at most ("Vault limits")."""


class OciVault:
    """Secrets wherever they are: the region is the OCID's, and the identity's own where that names none."""

    def __init__(self, identity: OciIdentity) -> None:
        self._identity = identity
        self._services: dict[str, OciService] = {}

    async def authenticate(self) -> None:
        await self._identity.key()

    async def get(self, name: str, which: Which = Stage.CURRENT) -> SecretValue:
        selector = ("stage", which.value) if isinstance(which, Stage) else ("versionNumber", which)
        what = f"{name}{which_text(which)}"
        if selector[0] == "versionNumber" and not which.isdecimal():
            raise NotFound(f"{what}: OCI numbers its versions")
        response = await self._call("GetSecretBundle", name, "", what, [selector])
        return _value(response, what)

    async def versions(self, name: str) -> list[Version]:
        async def ask(page: str) -> tuple[list[JsonDocument], str]:
            query = version_query(page)
            response = await self._call("ListSecretBundleVersions", name, "/versions", name, query)
            return documents_in(response.document, name), response.headers.get("opc-next-page", "")

        summaries = await every_page(ask, name)
        return [_version(summary) for summary in summaries if "timeOfDeletion" not in summary]

    async def close(self) -> None:
        for service in self._services.values():
            await service.close()

    async def _call(
        self, operation: str, name: str, below: str, what: str, query: list[tuple[str, str]]
    ) -> Response:
        def explain(response: Response) -> Error:
            return error_of(response, what, operation=operation, grantee=self._identity.grantee)

        path = f"{_API}/{quoted(name)}{below}"
        service = self._service(name)
        return await service.call(operation, "GET", path, explain, query=query, is_repeatable=False, most=_MOST)

    def _service(self, name: str) -> OciService:
        region = region_in(name)
        if region not in self._services:
            self._services[region] = OciService("secrets", self._identity, region=region or None)
        return self._services[region]


def version_query(page: str) -> list[tuple[str, str]]:
    """The parameters of a list of versions, the newest first, from ``page`` on."""
    query = [("sortBy", "VERSION_NUMBER"), ("sortOrder", "DESC"), ("limit", "100")]
    return [*query, ("page", page)] if page else query


def region_in(ocid: str) -> str:
    """The full name of the region that an OCID names, empty when it names none or one that nobody knows.

    ``ocid1.vaultsecret.oc1.iad.aaaa`` ("Resource Identifiers": realm, then region, which may be blank).
    """
    region = region_of(ocid.split(".")[3])
    return region if region in DOMAINS else ""


def _value(response: Response, what: str) -> SecretValue:
    bundle = document_in(response.document, what)
    try:
        content = base64.b64decode(bundle.inner("secretBundleContent").text("content"), validate=True)
    except ValueError:
        # not "from exc": nothing of the content goes into an error
        raise Corrupt(f"{what}: the answer's content is not base64") from None
    return SecretValue(_version(bundle), Secret(content))


def _version(document: JsonDocument) -> Version:
    labels = document.texts("stages")
    return Version(
        id=VersionId(str(document.whole("versionNumber"))),
        stages=frozenset(Stage(label) for label in labels if label in Stage.__members__),
        labels=labels,
        created=document.moment("timeCreated"),
        expires=document.moment("timeOfExpiry"),
    )

"""OCI Vault read by each of the five principals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from keepstep.jobs.assembly import Assembly
from keepstep.jobs.settings import CloudSettings
from keepstep_localcloud.server import LocalCloud
from tests.clouds.test_oci_principals import Proxymux
from tests.clouds.test_oci_principals import function as function
from tests.clouds.test_oci_principals import pod as pod
from tests.secrets.hosts import CloudSecrets


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def ocid(cloud: LocalCloud) -> str:
    return CloudSecrets(cloud).create("value")


@pytest.mark.parametrize(
    ("auth", "profile"),
    [
        ("api_key", "DEFAULT"),
        ("security_token", "SESSION"),
        ("instance_principal", None),
        ("resource_principal", None),
        ("oke_workload_identity", None),
    ],
)
def test_every_principal_reads(
    cloud: LocalCloud,
    ocid: str,
    function: dict[str, str],
    pod: Proxymux,
    monkeypatch: pytest.MonkeyPatch,
    auth: str,
    profile: str | None,
) -> None:
    """A user, a session, an instance, a function and a pod each read the secret that they may read."""
    for name, value in cloud.env.items():
        monkeypatch.setenv(name, value)

    async def read() -> bytes:
        vault = Assembly(CloudSettings(oci_auth=auth, oci_profile=profile)).vaults(["oci-vault"])["oci-vault"]
        try:
            return (await vault.get(ocid)).content.reveal_bytes()
        finally:
            await vault.close()

    assert asyncio.run(read()) == b"value"

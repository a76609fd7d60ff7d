"""Regions and addresses of OCI, as the installed SDK has them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import oci
import pytest
from oci import regions_definitions as sdk

from keepstep.clouds.oci_regions import DOMAINS, SHORT_NAMES, domain_of, endpoint_of, home_in, region_of
from keepstep.errors import ConfigError

TEMPLATES = {
    "objectstorage": "https://objectstorage.{region}.{secondLevelDomain}",
    "secrets": "https://secrets.vaults.{region}.oci.{secondLevelDomain}",
    "vaults": "https://vaults.{region}.oci.{secondLevelDomain}",
    "identity": "https://identity.{region}.oci.{secondLevelDomain}",
    "auth": None,
    "notification": "https://notification.{region}.{secondLevelDomain}",
    "telemetry-ingestion": "https://telemetry-ingestion.{region}.{secondLevelDomain}",
}
MARS = {
    "realmKey": "OC99",
    "realmDomainComponent": "marscloud.com",
    "regionKey": "MRS9",
    "regionIdentifier": "mars-1",
}


def by_the_sdk(region: str) -> dict[str, str]:
    """The SDK's own addresses, in a process of its own: it looks at files and variables once."""
    script = (
        "import json, sys, oci; r, t = json.loads(sys.argv[1]);"
        "print(json.dumps({s: oci.regions.endpoint_for(s, r, service_endpoint_template=p) for s, p in t.items()}))"
    )
    command = [sys.executable, "-c", script, json.dumps([region, TEMPLATES])]
    answer: dict[str, str] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer


def test_the_table_is_the_sdks() -> None:
    """Every region, short name and domain of the installed SDK is in the table, and nothing else."""
    assert SHORT_NAMES == sdk.REGIONS_SHORT_NAMES
    assert {region: sdk.REALMS[realm] for region, realm in sdk.REGION_REALMS.items()} == DOMAINS
    assert set(DOMAINS) == set(sdk.REGIONS)


def test_templates_are_the_sdks() -> None:
    """The addresses are built as the installed SDK's clients build them."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from oci.auth.signers import SecurityTokenSigner
    from oci.identity import IdentityClient
    from oci.object_storage import ObjectStorageClient
    from oci.secrets import SecretsClient
    from oci.vault import VaultsClient

    clients = {
        "objectstorage": ObjectStorageClient,
        "secrets": SecretsClient,
        "vaults": VaultsClient,
        "identity": IdentityClient,
    }
    signer = SecurityTokenSigner("token", rsa.generate_private_key(65537, 2048))
    for region in ("eu-frankfurt-1", "us-gov-phoenix-1", "eu-madrid-2"):
        for service, client in clients.items():
            endpoint = client({"region": region}, signer=signer).base_client.endpoint
            theirs = urlsplit(endpoint.replace("{dualStack?ds.oci.:}", ""))
            assert f"{theirs.scheme}://{theirs.netloc}" == endpoint_of(service, region)


def test_names() -> None:
    """Short names in any case are regions; unknown names stay as they are."""
    assert region_of(" IAD\n") == "us-ashburn-1"
    assert region_of("fra") == region_of("eu-frankfurt-1") == "eu-frankfurt-1"
    assert region_of("Mars-1") == "mars-1"
    assert domain_of("mars-1") == "oraclecloud.com"


@pytest.mark.parametrize("region", [*sorted(DOMAINS), *sorted(SHORT_NAMES), "region.of.its.own"])
def test_addresses_of_known_regions_are_the_sdks(region: str) -> None:
    """Every region the SDK knows, by either name, and one that is a domain."""
    for service, template in TEMPLATES.items():
        theirs = oci.regions.endpoint_for(service, region, service_endpoint_template=template)
        assert endpoint_of(service, region) == theirs


@pytest.mark.parametrize(
    ("region", "variables"),
    [
        ("mars-1", {"OCI_REGION_METADATA": json.dumps(MARS)}),
        ("mrs9", {"OCI_REGION_METADATA": json.dumps(MARS)}),
        ("mars-1", {"OCI_DEFAULT_REALM": "elsewhere.com", "OCI_REGION_METADATA": "{broken"}),
    ],
)
def test_addresses_of_new_regions_are_the_sdks(
    region: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regions that variables describe, or nobody, get the addresses that the SDK gives them."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert {service: endpoint_of(service, region) for service in TEMPLATES} == by_the_sdk(region)


@pytest.mark.parametrize("text", [json.dumps([MARS]), "[]", "{", '{"a": 1}', json.dumps([{"realmKey": "x"}, MARS])])
def test_regions_config_file(text: str, write: Callable[..., Path]) -> None:
    """``~/.oci/regions-config.json`` describes regions; a broken one describes none."""
    write(".oci/regions-config.json", text)
    assert domain_of("mars-1") == ("marscloud.com" if "mars" in text else "oraclecloud.com")
    assert region_of("mrs9") == ("mars-1" if "mars" in text else "mrs9")


def test_one_address_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """OCI_ENDPOINT_URL goes before every region."""
    monkeypatch.setenv("OCI_ENDPOINT_URL", "http://127.0.0.1:8080/")
    assert {endpoint_of(service, "iad") for service in TEMPLATES} == {"http://127.0.0.1:8080"}


@pytest.mark.parametrize(
    "address", ["host", "ftp://host", "http://", "http://[::1", "http://h:99999", "http://h:x"]
)
def test_what_is_no_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OCI_ENDPOINT_URL is named where it holds something else."""
    monkeypatch.setenv("OCI_ENDPOINT_URL", address)
    with pytest.raises(ConfigError, match="OCI_ENDPOINT_URL is not an address"):
        endpoint_of("auth", "eu-frankfurt-1")


@pytest.mark.parametrize(
    ("answer", "home"),
    [
        (
            b'[{"isHomeRegion": false, "regionName": "a-b-1"}, {"isHomeRegion": true, "regionName": "eu-turin-1"}]',
            "eu-turin-1",
        ),
        (b'[{"isHomeRegion": true, "regionName": "evil.example"}]', None),
        (b'[{"isHomeRegion": true, "regionName": "x@127.0.0.1:9/"}]', None),
        (b'[{"isHomeRegion": true, "regionName": 1}]', None),
        (b'[{"isHomeRegion": "yes", "regionName": "eu-turin-1"}]', None),
        (b"[1, null, []]", None),
        (b'{"isHomeRegion": true}', None),
        (b"<html>", None),
        (b"[" * 100_000, None),
        (b"\xff", None),
    ],
)
def test_a_home_region_is_a_regions_name(answer: bytes, home: str | None) -> None:
    """It is shown to people who will write it into their configuration, so nothing else is believed."""
    assert home_in(answer) == home


@pytest.mark.parametrize("region", ["x@127.0.0.1:9/", "a b", "a/../b", "é-1", "eu-turin-1\n.", "a..b"])
def test_what_is_no_region_becomes_no_host(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a user's own setting is a name, or a domain, as a whole."""
    monkeypatch.delenv("OCI_ENDPOINT_URL", raising=False)
    with pytest.raises(ConfigError, match="not an OCI region"):
        endpoint_of("objectstorage", region)

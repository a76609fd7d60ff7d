"""One identity on OCI: which kind it is, an API key from end to end, and what is found wrong before any request."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa

from keepstep.clouds.http import HttpPool
from keepstep.clouds.oci import OciIdentity, OciSettings
from keepstep.clouds.oci_keys import fingerprint
from keepstep.clouds.oci_signing import SigningKey, sign
from keepstep.errors import ConfigError
from keepstep_localcloud.server import LocalCloud

TENANCY, USER = "ocid1.tenancy.oc1..t", "ocid1.user.oc1..u"


@pytest.fixture
def profile(write: Callable[..., Path], rsa_key: rsa.RSAPrivateKey) -> Callable[..., str]:
    """``profile(fingerprint="…")`` writes ``~/.oci/config`` and its key; None leaves a line out."""
    pem = rsa_key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()).decode()

    def make(**changes: str | None) -> str:
        write(".oci/key.pem", pem)
        values: dict[str, str | None] = {
            "user": USER,
            "tenancy": TENANCY,
            "fingerprint": fingerprint(rsa_key.public_key()),
            "key_file": "~/.oci/key.pem",
            "region": "fra",
            **changes,
        }
        write(".oci/config", "[DEFAULT]\n" + "".join(f"{k}={v}\n" for k, v in values.items() if v is not None))
        return pem

    return make


KINDS: list[tuple[str | None, dict[str, str], OciSettings, str]] = [
    (None, {}, OciSettings(), "api_key"),
    (None, {"OCI_CLI_AUTH": "instance_principal"}, OciSettings(), "instance_principal"),
    (None, {"OCI_CLI_AUTH": "instance_principal"}, OciSettings(auth="security_token"), "security_token"),
    ("user=u\n", {}, OciSettings(), "api_key"),
    ("security_token_file=t\n", {}, OciSettings(), "security_token"),
    ("security_token_file=t\nuser=u\n", {}, OciSettings(), "api_key"),
    (None, {"OCI_RESOURCE_PRINCIPAL_VERSION": "2.2"}, OciSettings(), "resource_principal"),
    ("user=u\n", {"OCI_RESOURCE_PRINCIPAL_VERSION": "2.2"}, OciSettings(), "api_key"),
    (None, {"OCI_RESOURCE_PRINCIPAL_VERSION": "2.2", "OCI_CLI_USER": "u"}, OciSettings(), "api_key"),
]


@pytest.mark.parametrize(("text", "variables", "settings", "kind"), KINDS)
def test_which_kind(
    text: str | None,
    variables: dict[str, str],
    settings: OciSettings,
    kind: str,
    write: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The settings, OCI_CLI_AUTH, then what the configuration holds, then what the platform says."""
    if text is not None:
        write(".oci/config", f"[DEFAULT]\n{text}")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert OciIdentity(settings).kind == kind


def test_an_unknown_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that is not a kind is refused with those that are."""
    monkeypatch.setenv("OCI_CLI_AUTH", "magic")
    with pytest.raises(ConfigError, match="unknown way to authenticate on OCI: magic") as failed:
        _ = OciIdentity().kind
    assert "oke_workload_identity" in str(failed.value.hint)


def test_whom_a_policy_names() -> None:
    """Users are in groups, machines in dynamic groups, pods are any user with conditions."""
    grantees = [OciIdentity(OciSettings(auth=auth)).grantee for auth in ("api_key", "security_token")]
    assert grantees == ["group <your group>"] * 2
    assert OciIdentity(OciSettings(auth="instance_principal")).grantee.startswith("dynamic-group")
    assert OciIdentity(OciSettings(auth="oke_workload_identity")).grantee == "any-user"


def test_an_api_key(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]) -> None:
    """The profile's key is accepted by a server that verifies every signature; refreshed, it is read again."""
    monkeypatch.setenv("OCI_CLI_CONFIG_FILE", str(cloud.config))

    async def work() -> tuple[SigningKey, SigningKey, int]:
        identity = OciIdentity()
        key = await identity.key()
        pool = HttpPool(await identity.endpoint("objectstorage"), ca_bundle=identity.ca_bundle)
        headers = sign("GET", pool.netloc, "/n/", None, key, datetime.now(UTC))
        response = await pool.request("GET", "/n/", [("host", pool.netloc), *headers])
        await pool.close()
        return key, await identity.refresh(key), response.status

    key, again, status = run(work())
    assert status == 200
    assert (key.tenancy, key.region, key.expires_at) == (cloud.tenancy, "us-ashburn-1", None)
    assert again is not key
    assert again.key_id == key.key_id


def test_a_key_from_variables_alone(
    profile: Callable[..., str],
    rsa_key: rsa.RSAPrivateKey,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., Any],
) -> None:
    """The CLI's variables hold everything, the key itself included: no file is needed."""
    values = {
        "USER": USER,
        "TENANCY": TENANCY,
        "FINGERPRINT": fingerprint(rsa_key.public_key()).upper(),
        "KEY_CONTENT": profile(),
        "REGION": "IAD",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"OCI_CLI_{name}", value)
    monkeypatch.setenv("OCI_CLI_CONFIG_FILE", "/nowhere")
    key = run(OciIdentity().key())
    assert key.key_id == f"{TENANCY}/{USER}/{fingerprint(rsa_key.public_key())}"
    assert key.region == "us-ashburn-1"


def test_endpoints(profile: Callable[..., str], monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]) -> None:
    """Services are looked for in the profile's region, in a given one, or all at one address."""
    profile()
    identity = OciIdentity()
    assert run(identity.endpoint("objectstorage")) == "https://objectstorage.eu-frankfurt-1.oraclecloud.com"
    assert run(identity.endpoint("secrets", "iad")) == "https://secrets.vaults.us-ashburn-1.oci.oraclecloud.com"
    monkeypatch.setenv("OCI_ENDPOINT_URL", "http://127.0.0.1:1")
    assert run(identity.endpoint("objectstorage")) == "http://127.0.0.1:1"
    monkeypatch.setenv("OCI_ENDPOINT_URL", "127.0.0.1:1")
    with pytest.raises(ConfigError, match="OCI_ENDPOINT_URL is not an address"):
        run(identity.endpoint("objectstorage"))


WRONG: list[tuple[dict[str, str | None], str, str]] = [
    ({"user": None}, "user is missing in the profile DEFAULT", "OCI_CLI_USER"),
    ({"key_file": None}, "key_file is missing", "OCI_CLI_KEY_FILE"),
    ({"fingerprint": None}, "fingerprint is missing", "OCI_CLI_FINGERPRINT"),
    (
        {"key_file": "/nowhere.pem"},
        "the private key /nowhere.pem does not exist",
        "key_file in the profile DEFAULT",
    ),
    ({"key_file": "~/.oci/config"}, "is not PEM", "-----BEGIN"),
    ({"tenancy": USER}, "tenancy is not the OCID of a tenancy", "ocid1.tenancy."),
    (
        {"fingerprint": "aa:bb"},
        "the fingerprint aa:bb of the profile DEFAULT is not that of its private key",
        "upload",
    ),
]


@pytest.mark.parametrize(("changes", "message", "hint"), WRONG)
def test_wrong_profiles(
    changes: dict[str, str | None], message: str, hint: str, profile: Callable[..., str], run: Callable[..., Any]
) -> None:
    """Each thing that is missing or wrong in a profile is found before any request."""
    profile(**changes)
    with pytest.raises(ConfigError, match=message) as failed:
        run(OciIdentity().key())
    assert hint in (failed.value.hint or "")


def test_a_wrong_fingerprint_says_both(
    profile: Callable[..., str], rsa_key: rsa.RSAPrivateKey, run: Callable[..., Any]
) -> None:
    """The message has the fingerprint that is stated and the one that the key has."""
    profile(fingerprint="aa:bb")
    with pytest.raises(ConfigError) as failed:
        run(OciIdentity().key())
    assert "aa:bb" in failed.value.message
    assert fingerprint(rsa_key.public_key()) in failed.value.message


def test_an_empty_key(profile: Callable[..., str], write: Callable[..., Path], run: Callable[..., Any]) -> None:
    """The old script's commonest failure, a key file that a template left empty, has its own words."""
    profile()
    write(".oci/key.pem", "\n")
    with pytest.raises(ConfigError, match=r"the private key .*/\.oci/key\.pem is empty") as failed:
        run(OciIdentity().key())
    assert "template variable" in str(failed.value.hint)


def test_no_region(profile: Callable[..., str], run: Callable[..., Any]) -> None:
    """Without a region the key is good, and the first endpoint asks for one."""
    profile(region=None)
    identity = OciIdentity()
    assert run(identity.key()).region == ""
    with pytest.raises(ConfigError, match="no OCI region is known"):
        run(identity.endpoint("objectstorage"))


def test_no_configuration(run: Callable[..., Any]) -> None:
    """Nobody configured anything: the two ways to begin are named."""
    with pytest.raises(ConfigError, match=r"no OCI configuration: .*\.oci/config does not exist") as failed:
        run(OciIdentity().key())
    assert "oci setup config" in str(failed.value.hint)
    assert "OCI_CLI_AUTH=instance_principal" in str(failed.value.hint)


def test_the_sdks_are_not_loaded(cloud: LocalCloud) -> None:
    """An API key works without the OCI SDK, and naming an AWS identity loads no botocore."""
    script = (
        "import asyncio, sys\n"
        "from keepstep.clouds.aws import AwsIdentity\n"
        "from keepstep.clouds.oci import OciIdentity\n"
        "AwsIdentity()\n"
        "print(asyncio.run(OciIdentity().key()).region)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'oci', 'botocore', 'boto3'}))\n"
    )
    environment = {"OCI_CLI_CONFIG_FILE": str(cloud.config), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "us-ashburn-1\n[]\n"


def test_secrets_do_not_show(
    profile: Callable[..., str], run: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither key nor pass phrase is in the repr of anything, in a log line, or in an error."""
    pem = profile(pass_phrase="hush-hush")
    caplog.set_level("DEBUG")
    identity = OciIdentity()
    key = run(identity.key())
    shown = f"{key!r} {key} {vars(identity)} {vars(identity._renewing)} {caplog.text}"
    assert "hush-hush" not in shown
    assert not any(line in shown for line in pem.splitlines())

"""Variables and files of AWS are read without botocore's session, to the same end."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import BotoCoreError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.aws_chain import AwsSettings
from keepstep.clouds.aws_config import AwsConfig
from keepstep.clouds.aws_profile import AwsProfile
from keepstep.clouds.s3_endpoint import S3Facts
from keepstep.errors import ConfigError

KEYS = "aws_access_key_id = AKIAFILE\naws_secret_access_key = s\n"
PLAIN = [
    ({"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s"}, "", ""),
    ({"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}, "", ""),
    (
        {
            "AWS_ACCESS_KEY_ID": "AKIA",
            "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_SESSION_TOKEN": "t",
            "AWS_SECURITY_TOKEN": "u",
        },
        "",
        "",
    ),
    ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "", f"[default]\n{KEYS}"),
    ({}, "", f"[default]\n{KEYS}aws_session_token = t\n"),
    ({"AWS_PROFILE": "a"}, "[profile a]\nregion = eu-west-1\n", f"[default]\n{KEYS}[a]\n{KEYS}"),
    ({"AWS_PROFILE": "b", "AWS_DEFAULT_PROFILE": "a"}, "", f"[b]\n{KEYS}[a]\n{KEYS.replace('FILE', 'A')}"),
    ({"AWS_PROFILE": "a b"}, "[profile 'a b']\nregion = eu-west-1\ns3 =\n  x = y\n", f"[a b]\n{KEYS}"),
    ({}, "", f"[default]\n{KEYS}aws_security_token = old\n"),
    ({}, f"[default]\n{KEYS}", ""),
    ({}, "[default]\ncredential_process = /bin/false\n", f"[default]\n{KEYS}"),
    ({"AWS_SHARED_CREDENTIALS_FILE": "$HOME/elsewhere"}, "", ""),
]


@pytest.fixture(autouse=True)
def elsewhere(write: Callable[..., Path]) -> None:
    write("elsewhere", f"[default]\n{KEYS.replace('FILE', 'ELSEWHERE')}")


@pytest.mark.parametrize(("environment", "config", "credentials"), PLAIN)
def test_the_same_credentials_as_botocore(
    environment: dict[str, str],
    config: str,
    credentials: str,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[..., Path],
    run: Callable[..., Any],
) -> None:
    """Wherever keys simply stand, the ones are taken that botocore takes, and called as botocore calls them."""
    write(".aws/config", config)
    write(".aws/credentials", credentials)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = run(AwsIdentity().credentials())
    theirs: Any = botocore.session.Session().get_credentials()
    token = found.token.reveal() if found.token else None
    assert (found.access_key, found.secret_key.reveal(), token) == tuple(theirs.get_frozen_credentials())[:3]
    assert found.method == theirs.method


CHAIN = [
    ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}, ""),
    (
        {
            "AWS_ACCESS_KEY_ID": "AKIA",
            "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_CREDENTIAL_EXPIRATION": "2099-01-01T00:00:00Z",
        },
        "",
    ),
    ({}, "role_arn = arn:aws:iam::1:role/r\nsource_profile = default\n"),
    ({}, "sso_session = corp\n"),
    ({}, "credential_process = /bin/false\n"),
    ({}, "login_session = x\n"),
    ({}, "a_setting_of_next_year = x\n"),
    ({"AWS_ACCESS_KEY_ID": "AKIA"}, ""),
]


@pytest.mark.parametrize(("environment", "config"), CHAIN)
def test_anything_else_is_left_to_botocore(
    environment: dict[str, str], config: str, monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path]
) -> None:
    """Roles, SSO, processes, expiring keys, half of a pair, and whatever is not known: none of it is guessed at."""
    write(".aws/config", f"[default]\n{config}")
    write(".aws/credentials", f"[default]\n{KEYS}")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert AwsProfile(None).plain_credentials() is None


@pytest.mark.parametrize("variables", [{}, {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s"}])
def test_plain_keys_do_not_load_botocores_session(
    variables: dict[str, str], nobodys_machine: Path, write: Callable[..., Path]
) -> None:
    """Keys in variables or in a file, and where a bucket is, are had without what takes a quarter of a second."""
    write(".aws/config", "[default]\nregion = eu-west-1\ns3 =\n  addressing_style = virtual\n")
    write(".aws/credentials", f"[default]\n{KEYS}")
    script = (
        "import asyncio, sys\nfrom keepstep.clouds.aws import AwsIdentity\nidentity = AwsIdentity()\n"
        "found = asyncio.run(identity.credentials())\n"
        "print(found.access_key, identity.config.s3_endpoint('data').host, 'botocore.session' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"HOME": str(nobodys_machine), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    key = "AKIA" if variables else "AKIAFILE"
    assert done.stdout.split() == [key, "data.s3.eu-west-1.amazonaws.com", "False"]


def test_a_session_can_still_be_had(monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]) -> None:
    """boto3's clients get a session with the same keys, and a new one once those were refused."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    identity = AwsIdentity()

    async def keys() -> str:
        session = await identity.botocore_session()
        return str(session.get_credentials().access_key)

    assert run(keys()) == "AKIA"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANEW")
    run(identity.refresh())
    assert run(keys()) == "AKIANEW"


NESTED = ["region", "use_fips_endpoint", "endpoint_url", "services"]


@pytest.mark.parametrize("name", NESTED)
def test_a_block_where_a_value_must_be(name: str, write: Callable[..., Path]) -> None:
    """A setting that was given a nested block by mistake is an error that names it, and no crash."""
    write(".aws/config", f"[default]\n{name} =\n  a = b\n")
    with pytest.raises(ConfigError, match=f"{name} in the AWS profile default is a nested block") as failed:
        AwsConfig(AwsSettings()).s3_endpoint("data")
    assert f"{name} = value" in str(failed.value.hint)


def test_a_key_that_is_a_block_is_no_key(write: Callable[..., Path]) -> None:
    """What botocore makes of it is botocore's."""
    write(".aws/credentials", "[default]\naws_access_key_id =\n  a = b\naws_secret_access_key = s\n")
    assert AwsProfile(None).plain_credentials() is None


flags = st.sampled_from(["", "true", "True", "false", "yes"])
texts = st.sampled_from(["", "eu-west-1", "cn-north-1", "us-gov-west-1", "us-iso-east-1", "nowhere"])
environments = st.fixed_dictionaries(
    {},
    optional={
        "AWS_DEFAULT_REGION": texts,
        "AWS_USE_FIPS_ENDPOINT": flags,
        "AWS_USE_DUALSTACK_ENDPOINT": flags,
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": flags,
        "AWS_ENDPOINT_URL": st.sampled_from(["", "http://all"]),
        "AWS_ENDPOINT_URL_S3": st.sampled_from(["", "http://s3"]),
        "AWS_PROFILE": st.sampled_from(["a", "default", "nobody"]),
    },
)
profiles = st.fixed_dictionaries(
    {},
    optional={
        "region": texts.filter(bool),
        "use_fips_endpoint": flags.filter(bool),
        "use_dualstack_endpoint": flags.filter(bool),
        "endpoint_url": st.just("http://profile"),
        "services": st.sampled_from(["mine", "gone"]),
        "s3": st.sampled_from(
            ["\n  addressing_style = path", "\n  use_dualstack_endpoint = true\n  use_accelerate_endpoint = True"]
        ),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(environment=environments, config=profiles, credentials=profiles)
def test_every_setting_as_botocore_reads_it(
    environment: dict[str, str], config: dict[str, str], credentials: dict[str, str], write: Callable[..., Path]
) -> None:
    """Whatever stands where: the facts that decide about a bucket's address are those of botocore's session."""
    lines = "".join(f"{name} = {value}\n" for name, value in config.items())
    write(".aws/config", f"[profile a]\n{lines}[services mine]\ns3 =\n  endpoint_url = http://section\n")
    write(".aws/credentials", "".join(["[a]\n", *(f"{name} = {value}\n" for name, value in credentials.items())]))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            wanted: S3Facts | None = _as_botocore_has_it()
        except BotoCoreError:
            wanted = None
        try:
            found: S3Facts | None = AwsConfig(AwsSettings())._s3_facts(AwsConfig(AwsSettings()).region or "x")
        except ConfigError:
            found = None
    assert found == wanted


def _as_botocore_has_it() -> S3Facts:
    from botocore.configprovider import ConfiguredEndpointProvider

    session = botocore.session.Session()
    variable, scoped = session.get_config_variable, session.get_scoped_config()
    options = variable("s3") if scoped.get("s3") else {}
    url = None
    if not variable("ignore_configured_endpoint_urls"):
        url = ConfiguredEndpointProvider(session.full_config, scoped, "s3").provide()
    region = variable("region") or "x"
    partitions = session.get_data("partitions")["partitions"]

    suffixes = [one["outputs"]["dnsSuffix"] for one in partitions if re.match(one["regionRegex"], region)]
    return S3Facts(
        region=region,
        url=url,
        suffix=suffixes[0] if suffixes else "amazonaws.com",
        addressing_style=options.get("addressing_style") or "auto",
        dualstack=bool(options.get("use_dualstack_endpoint") or variable("use_dualstack_endpoint")),
        fips=bool(variable("use_fips_endpoint")),
        accelerate=bool(options.get("use_accelerate_endpoint")),
    )

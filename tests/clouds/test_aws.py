"""AWS credentials from every place botocore knows, renewed in good time, and every way to have none."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.aws_chain import AwsSettings, credentials_of, open_session
from keepstep.errors import ConfigError, Denied, Error, Transient

SECRET, TOKEN = "a-secret-never-to-be-seen", "a-token-never-to-be-seen"


@pytest.fixture
def process(write: Callable[..., Path], tmp_path: Path) -> Callable[[timedelta | None], Path]:
    """Configures a ``credential_process``; the file returned has one line for each time it was run."""

    def configure(life: timedelta | None) -> Path:
        count = tmp_path / "count"
        count.write_text("")
        keys = {"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": SECRET, "SessionToken": TOKEN}
        if life is not None:
            keys["Expiration"] = (datetime.now(UTC) + life).isoformat()
        script = write(
            "process.py",
            f"import os, json\nopen({str(count)!r}, 'a').write('x\\n')\n"
            f"keys = {keys!r}\nkeys['AccessKeyId'] += str(os.getpid())\nprint(json.dumps(keys))\n",
        )
        write(".aws/config", f"[default]\ncredential_process = {sys.executable} {script}\n")
        return count

    return configure


def runs(count: Path) -> int:
    return len(count.read_text().splitlines())


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.01)


def test_environment(monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]) -> None:
    """Access keys in the environment go first; a session token goes with them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    found = run(AwsIdentity().credentials())
    assert (found.access_key, found.secret_key.reveal(), found.token.reveal()) == ("AKIAENV", SECRET, TOKEN)
    assert (found.method, found.expires_at) == ("env", None)


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
def test_variables_that_were_filled_from_files(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any], end: str
) -> None:
    """The line break at the end of a key, a token or a region is none of it, for S3 and for botocore's clients."""
    values = {
        "ACCESS_KEY_ID": "AKIAENV",
        "SECRET_ACCESS_KEY": SECRET,
        "SESSION_TOKEN": TOKEN,
        "REGION": "eu-west-1",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"AWS_{name}", value + end)
    identity = AwsIdentity()
    found = run(identity.credentials())
    assert (found.access_key, found.secret_key.reveal(), found.token.reveal()) == ("AKIAENV", SECRET, TOKEN)
    settings = AwsSettings()
    session = open_session(settings)
    theirs = credentials_of(session, settings).get_frozen_credentials()
    assert (theirs.access_key, theirs.secret_key, theirs.token) == ("AKIAENV", SECRET, TOKEN)
    assert identity.config.region == session.get_config_variable("region") == "eu-west-1"


def test_profiles(monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path], run: Callable[..., Any]) -> None:
    """The default profile, AWS_PROFILE, and a named one, which goes before keys in the environment."""
    write(
        ".aws/credentials",
        f"[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = {SECRET}\n"
        f"[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = {SECRET}\n",
    )
    assert run(AwsIdentity().credentials()).access_key == "AKIADEFAULT"
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert run(AwsIdentity().credentials()).access_key == "AKIAOTHER"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert run(AwsIdentity().credentials()).access_key == "AKIAENV"
    assert run(AwsIdentity(AwsSettings(profile="default")).credentials()).access_key == "AKIADEFAULT"


def test_instance_metadata(monkeypatch: pytest.MonkeyPatch, server: Any, run: Callable[..., Any]) -> None:
    """On EC2 the instance profile's role is found with an IMDSv2 token, and expires when EC2 says so."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
    until_when = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=6)
    role = {"Code": "Success", "AccessKeyId": "ASIAEC2", "SecretAccessKey": SECRET, "Token": TOKEN}
    role["Expiration"] = f"{until_when:%Y-%m-%dT%H:%M:%SZ}"
    server.answers = {
        "/latest/api/token": "imds-token",
        "/latest/meta-data/iam/security-credentials/": "web",
        "/latest/meta-data/iam/security-credentials/web": json.dumps(role),
    }
    found = run(AwsIdentity().credentials())
    assert (found.access_key, found.method, found.expires_at) == ("ASIAEC2", "iam-role", until_when)
    assert server.asked[-1][2]["x-aws-ec2-metadata-token"] == "imds-token"


def test_containers(monkeypatch: pytest.MonkeyPatch, server: Any, run: Callable[..., Any]) -> None:
    """ECS and EKS Pod Identity: the address in AWS_CONTAINER_CREDENTIALS_FULL_URI is asked."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/v1/credentials")
    role = {"AccessKeyId": "ASIAECS", "SecretAccessKey": SECRET, "Token": TOKEN}
    server.answers = {"/v1/credentials": json.dumps(role | {"Expiration": "2099-01-01T00:00:00Z"})}
    found = run(AwsIdentity().credentials())
    assert (found.access_key, found.method) == ("ASIAECS", "container-role")


def test_web_identity(
    monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path], server: Any, run: Callable[..., Any]
) -> None:
    """IRSA: the projected token is exchanged at STS; a refusal names the role and what its trust must say."""
    token = write("token", "a.web.identity")
    role = "arn:aws:iam::123456789012:role/irsa"
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", role)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    server.answers["/"] = (
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAWEB</AccessKeyId>"
        f"<SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken>"
        "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
        "</AssumeRoleWithWebIdentityResponse>"
    )
    found = run(AwsIdentity().credentials())
    assert (found.access_key, found.method) == ("ASIAWEB", "assume-role-with-web-identity")
    assert b"WebIdentityToken=a.web.identity" in server.asked[-1][3]
    refusal = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
    server.answers["/"] = (403, sts_error("AccessDenied", refusal))
    with pytest.raises(Denied, match="the web identity may not assume") as refused:
        run(AwsIdentity().credentials())
    assert "identity provider" in str(refused.value.hint)


def sts_error(code: str, message: str) -> str:
    return (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    )


def test_asking_often_resolves_once(process: Callable[..., Path], run: Callable[..., Any]) -> None:
    """A thousand requests, thirty-two at once, cost one resolution; the same object is given to all."""
    count = process(timedelta(hours=1))
    identity = AwsIdentity()

    async def many() -> set[int]:
        first = await asyncio.gather(*(identity.credentials() for _ in range(32)))
        later = [await identity.credentials() for _ in range(1000)]
        return {id(found) for found in (*first, *later)}

    assert len(run(many())) == 1
    assert runs(count) == 1


def test_credentials_near_their_end_are_renewed_behind_the_scenes(
    process: Callable[..., Path], clock: Any, run: Callable[..., Any]
) -> None:
    """With ten minutes left the old ones serve on while the source is asked again, in mid-run."""
    count = process(timedelta(minutes=10))
    identity = AwsIdentity(clock=clock)

    async def work() -> None:
        old = await identity.credentials()
        clock.ahead = 5.5 * 60
        assert await identity.credentials() is old
        await until(lambda: runs(count) >= 2)
        async with asyncio.timeout(10):
            while await identity.credentials() is old:
                await asyncio.sleep(0.01)

    run(work())


def test_refused_credentials_are_resolved_once(process: Callable[..., Path], run: Callable[..., Any]) -> None:
    """Thirty-two requests refused together cause one forced resolution, though nothing had expired."""
    count = process(None)
    identity = AwsIdentity()

    async def refused() -> tuple[Any, list[Any]]:
        old = await identity.credentials()
        return old, await asyncio.gather(*(identity.refresh(old) for _ in range(32)))

    old, new = run(refused())
    assert runs(count) == 2
    assert {found.access_key for found in new} != {old.access_key}


def test_one_identity_serves_several_event_loops(process: Callable[..., Path], run: Callable[..., Any]) -> None:
    """A daemon that runs each job in a loop of its own resolves once."""
    count = process(timedelta(hours=1))
    identity = AwsIdentity()
    assert run(identity.credentials()) is run(identity.credentials())
    assert runs(count) == 1


def test_anonymous(run: Callable[..., Any]) -> None:
    """Without signing nobody is looked for, and nothing is missing."""
    identity = AwsIdentity(AwsSettings(no_sign_request=True))
    assert run(identity.credentials()) is None
    assert run(identity.refresh()) is None
    assert run(identity.botocore_session()).get_config_variable("profile") is None


def test_nothing_anywhere(
    monkeypatch: pytest.MonkeyPatch, server: Any, write: Callable[..., Path], run: Callable[..., Any]
) -> None:
    """The message names the four places that were searched, the hint what to do; also where IMDS is a dead end."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
    with pytest.raises(ConfigError) as failed:
        run(AwsIdentity().credentials())
    for place in ("AWS_ACCESS_KEY_ID", "profile default", "AWS_CONTAINER_CREDENTIALS", "EC2 instance metadata"):
        assert place in failed.value.message
    assert failed.value.hint
    assert "instance profile" in failed.value.hint
    assert server.asked


STS = "https://sts.amazonaws.com/doc/2011-06-15/"
WRONG = [
    ({"AWS_PROFILE": "nobody"}, "", "the AWS profile nobody does not exist", "list-profiles"),
    (
        {"AWS_ACCESS_KEY_ID": "AKIA"},
        "",
        "half of the AWS credentials is missing: AWS_SECRET_ACCESS_KEY",
        "together",
    ),
    ({}, "[default]\naws_access_key_id = AKIA\n", "missing: aws_secret_access_key", "together"),
    ({}, "[default\n", "the AWS configuration cannot be read: Unable to parse config file", "fix that file"),
    ({}, "[default]\ncredential_process = /bin/false\n", "from custom-process", ""),
    (
        {"AWS_PROFILE": "sso"},
        "[profile sso]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n"
        "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n",
        "the SSO session of the AWS profile sso has expired",
        "aws sso login --profile sso",
    ),
    (
        {"AWS_PROFILE": "a"},
        "[profile a]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = b\n"
        "[profile b]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = a\n",
        "Infinite loop",
        "",
    ),
]


@pytest.mark.parametrize(("environment", "config", "message", "hint"), WRONG)
def test_wrong_configuration(
    environment: dict[str, str],
    config: str,
    message: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[..., Path],
    run: Callable[..., Any],
) -> None:
    """Each mistake in variables and files has its own message, and names what it is about."""
    write(".aws/config", config)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as failed:
        run(AwsIdentity().credentials())
    assert message in failed.value.message
    assert hint in (failed.value.hint or "")


REFUSED = [
    (403, "ExpiredTokenException", ConfigError, "the session token has expired"),
    (403, "SignatureDoesNotMatch", ConfigError, "the secret key does not belong to this access key"),
    (403, "RequestExpired", ConfigError, "this machine's clock is wrong"),
    (403, "RegionDisabledException", Denied, "RegionDisabledException"),
    (400, "Throttling", Transient, "Throttling"),
    (503, "ServiceUnavailable", Transient, "ServiceUnavailable"),
]


@pytest.mark.parametrize(("status", "code", "error", "message"), REFUSED)
def test_answers_of_sts(
    status: int,
    code: str,
    error: type[Error],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    server: Any,
    run: Callable[..., Any],
) -> None:
    """What STS says decides whether to repeat, to change the credentials, or to ask for permission."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    server.answers["/"] = (status, sts_error(code, "as the service said"))
    with pytest.raises(error, match=message):
        run(AwsIdentity(AwsSettings(role_arn=("arn:aws:iam::1:role/r",))).credentials())


def test_an_sts_that_is_not_there(monkeypatch: pytest.MonkeyPatch, server: Any, run: Callable[..., Any]) -> None:
    """No STS at the address, or a proxy's page instead of an answer, is a passing fault."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    identity = AwsIdentity(AwsSettings(role_arn=("arn:aws:iam::1:role/r",)))
    for answer in ((502, "<html>Bad Gateway"), "<html>Welcome to the hotel"):
        server.answers["/"] = answer
        with pytest.raises(
            Transient, match=r"AWS could not answer|cannot get AWS credentials: the answer is not AWS's"
        ):
            run(identity.credentials())
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url.replace("http:", "https:"))
    with pytest.raises(ConfigError, match="AWS could not be trusted"):
        run(AwsIdentity(identity.settings).credentials())
    server.close()
    with pytest.raises(Transient, match="cannot get AWS credentials"):
        run(identity.credentials())


def test_nobody_to_type_a_code(write: Callable[..., Path], nobodys_machine: Path) -> None:
    """A profile that asks for an MFA code fails at once where no terminal is, and says why."""
    write(
        ".aws/config",
        "[profile mfa]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = keys\n"
        "mfa_serial = arn:aws:iam::1:mfa/u\n"
        f"[profile keys]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}\n",
    )
    script = (
        "import asyncio\nfrom keepstep.clouds.aws import AwsIdentity\n"
        "try: asyncio.run(AwsIdentity().credentials())\nexcept Exception as e: print(type(e).__name__, e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={"AWS_PROFILE": "mfa", "HOME": str(nobodys_machine), "AWS_REGION": "eu-west-1"},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        capture_output=True,
        text=True,
    )
    assert (
        "ConfigError the AWS profile mfa asks for an MFA code, which an unattended run cannot enter" in done.stdout
    )


def test_secrets_do_not_show(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither repr nor str nor a log line of credentials holds the secret key or the token."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    caplog.set_level("DEBUG")
    identity = AwsIdentity()
    found = run(identity.credentials())
    shown = f"{found!r} {found} {vars(identity)} {vars(identity._renewing)} {caplog.text}"
    assert "AKIAENV" in shown
    assert SECRET not in shown
    assert TOKEN not in shown

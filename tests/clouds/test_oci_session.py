"""Session tokens: used, refreshed in mid-run, written back; and what is said when a session is over."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keepstep.clouds.http import HttpPool
from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_config import OciSettings
from keepstep.clouds.oci_signing import SigningKey, sign
from keepstep.clouds.oci_token import write_token
from keepstep.errors import ConfigError, Transient
from keepstep_localcloud.server import LocalCloud

SESSION = OciSettings(auth="security_token", profile="SESSION")


class Session:
    """A copy of the local cloud's session, whose token can be given any life."""

    def __init__(self, cloud: LocalCloud, home: Path) -> None:
        self.cloud = cloud
        self.file = home / "token"
        issuer_key = (cloud.directory / "identity" / "token_key.pem").read_bytes()
        self._issuer: Any = load_pem_private_key(issuer_key, None)
        self._claims = jwt.decode(
            (cloud.directory / "oci" / "session_token").read_text(), options={"verify_signature": False}
        )
        config = home / ".oci" / "config"
        config.parent.mkdir()
        config.write_text(
            f"[SESSION]\nkey_file={cloud.directory}/oci/session_key.pem\nsecurity_token_file={self.file}\n"
            f"tenancy={cloud.tenancy}\nregion=us-ashburn-1\n"
        )
        self.write(timedelta(hours=1))

    def token(self, left: timedelta) -> str:
        claims = {**self._claims, "exp": int(time.time() + left.total_seconds()), "jti": os.urandom(8).hex()}
        return jwt.encode(claims, self._issuer, algorithm="RS256")

    def write(self, left: timedelta) -> str:
        token = self.token(left)
        self.file.write_text(token + "\n")
        return token

    async def status(self, key: SigningKey) -> int:
        """Whether the cloud accepts the key."""
        pool = HttpPool(self.cloud.endpoint)
        headers = sign("GET", pool.netloc, "/n/", None, key, datetime.now(UTC))
        response = await pool.request("GET", "/n/", [("host", pool.netloc), *headers])
        await pool.close()
        return response.status


@pytest.fixture
def session(cloud: LocalCloud, nobodys_machine: Path) -> Session:
    return Session(cloud, nobodys_machine)


def test_a_session_signs(session: Session, run: Callable[..., Any]) -> None:
    """The token of ``oci session authenticate`` is used as it is while it has time left."""
    before = session.file.read_text()

    async def work() -> tuple[SigningKey, int]:
        key = await OciIdentity(SESSION).key()
        return key, await session.status(key)

    key, status = run(work())
    assert status == 200
    assert key.key_id == f"ST${before.strip()}"
    assert (key.tenancy, key.region) == (session.cloud.tenancy, "us-ashburn-1")
    assert session.file.read_text() == before


def test_a_token_that_ends_soon_is_refreshed(session: Session, run: Callable[..., Any]) -> None:
    """With five minutes left a new token is fetched and replaces the old one in the file, whole and mode 0600."""
    old = session.write(timedelta(minutes=5))
    session.file.chmod(0o644)

    async def work() -> tuple[SigningKey, int]:
        key = await OciIdentity(SESSION).key()
        return key, await session.status(key)

    key, status = run(work())
    assert status == 200
    assert session.file.read_text() != old
    assert key.key_id == f"ST${session.file.read_text()}"
    assert stat.S_IMODE(session.file.stat().st_mode) == 0o600
    assert [path.name for path in session.file.parent.iterdir() if path.is_file()] == ["token"]


def test_a_run_outlives_its_token(
    session: Session, server: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    """In mid-run, ten minutes before the end, the token is refreshed while requests go on with the old one."""
    monkeypatch.setenv("OCI_ENDPOINT_URL", server.url)
    renewed = session.token(timedelta(hours=2))
    server.answers["/v1/authentication/refresh"] = json.dumps({"token": renewed})

    async def work() -> str:
        identity = OciIdentity(SESSION, clock=clock)
        first = await identity.key()
        clock.ahead = 49 * 60
        assert await identity.key() is first
        assert not server.asked
        clock.ahead = 51 * 60
        assert await identity.key() is first
        async with asyncio.timeout(10):
            while (second := await identity.key()) is first:
                await asyncio.sleep(0.01)
        assert json.loads(server.asked[0][3]) == {"currentToken": first.key_id.removeprefix("ST$")}
        return second.key_id

    assert run(work()) == f"ST${renewed}"
    assert session.file.read_text() == renewed
    assert len(server.asked) == 1


def test_somebody_else_refreshed_it(session: Session, clock: Any, run: Callable[..., Any]) -> None:
    """A token file that is written again on disk is read within seconds, also through a link."""
    real = session.file.rename(session.file.with_name("real"))
    session.file.symlink_to(real)

    async def work() -> str:
        identity = OciIdentity(SESSION, clock=clock)
        first = await identity.key()
        session.write(timedelta(hours=2))
        clock.ahead = 6
        async with asyncio.timeout(10):
            while (second := await identity.key()) is first:
                await asyncio.sleep(0.01)
        return second.key_id

    assert run(work()) == f"ST${real.read_text().strip()}"


def test_a_refreshed_token_goes_to_the_end_of_the_link(session: Session, run: Callable[..., Any]) -> None:
    """A link to the token file stays a link; its target is replaced."""
    old = session.write(timedelta(minutes=5))
    real = session.file.rename(session.file.with_name("real"))
    session.file.symlink_to(real)
    run(OciIdentity(SESSION).key())
    assert session.file.is_symlink()
    assert real.read_text() != old


def test_a_refused_token_is_refreshed_once(session: Session, run: Callable[..., Any]) -> None:
    """Requests that were refused together cause one refresh; a token that is new on disk causes none."""

    async def work() -> tuple[SigningKey, list[SigningKey], str, SigningKey]:
        identity = OciIdentity(SESSION)
        old = await identity.key()
        new = await asyncio.gather(*(identity.refresh(old) for _ in range(32)))
        written = session.write(timedelta(hours=3))
        return old, new, written, await identity.refresh(new[0])

    old, new, written, last = run(work())
    assert len({key.key_id for key in new}) == 1
    assert new[0].key_id != old.key_id
    assert last.key_id == f"ST${written}"


def test_a_token_that_cannot_be_written_back(session: Session, clock: Any, run: Callable[..., Any]) -> None:
    """Where the file cannot be replaced the new token is kept in memory and used, with a warning."""
    descriptor = os.memfd_create("token")
    old = session.write(timedelta(minutes=5))
    os.write(descriptor, old.encode())
    session.file.unlink()
    session.file.symlink_to(f"/proc/self/fd/{descriptor}")

    async def work() -> list[Any]:
        identity = OciIdentity(SESSION, clock=clock)
        first = await identity.key()
        clock.ahead = 6
        return [first.key_id, (await identity.refresh(first)).key_id, await session.status(await identity.key())]

    first, second, status = run(work())
    os.close(descriptor)
    assert f"ST${old}" not in (first, second)
    assert status == 200


def test_a_failed_write_leaves_nothing_behind(nobodys_machine: Path) -> None:
    """When the file cannot be replaced, no temporary file with the token stays next to it."""
    (nobodys_machine / "token").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_token(str(nobodys_machine / "token"), "hush")
    assert [path.name for path in nobodys_machine.iterdir()] == ["token"]


def test_a_session_that_is_over(session: Session, run: Callable[..., Any]) -> None:
    """An expired token is refused before any request, with the command that begins a new session."""
    session.write(timedelta(seconds=-1))
    with pytest.raises(ConfigError, match="the OCI session of the profile SESSION ended at 20") as failed:
        run(OciIdentity(SESSION).key())
    assert failed.value.hint == "run: oci session authenticate --profile-name SESSION"


REFUSALS = [
    ((401, "{}"), ConfigError, "can be refreshed no more"),
    ((500, "{}"), Transient, "answered 500"),
    ("nonsense", Transient, "could not be refreshed"),
    ("{}", Transient, "could not be refreshed"),
    ("[]", Transient, "could not be refreshed"),
    ('{"token": "nonsense"}', ConfigError, "the answer to the refresh holds no session token"),
    ("x" * 300_000, Transient, "answered with more than any token needs"),
    ((302, "{}"), Transient, "answered 302"),
    (None, Transient, "could not be refreshed"),
]


@pytest.mark.parametrize(("answer", "error", "message"), REFUSALS)
def test_a_refresh_that_fails(
    answer: Any,
    error: type[Exception],
    message: str,
    session: Session,
    server: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    run: Callable[..., Any],
) -> None:
    """While the token lives a failed refresh is a warning; after a refusal it is an error that says what to do."""
    token = session.write(timedelta(minutes=5))
    monkeypatch.setenv("OCI_ENDPOINT_URL", server.url)
    server.answers["/v1/authentication/refresh"] = answer
    if answer is None:
        server.close()

    async def work() -> None:
        identity = OciIdentity(SESSION)
        key = await identity.key()
        assert key.key_id == f"ST${token}"
        with pytest.raises(error, match=message) as failed:
            await identity.refresh(key)
        assert token not in f"{failed.value!r} {failed.value} {failed.value.__cause__!r}"

    run(work())
    assert message in caplog.text
    assert token not in caplog.text
    assert session.file.read_text().strip() == token


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "holds no session token", "three parts"),
        ("hush-token", "holds no session token", "three parts"),
        ("hush.aHVzaA.token", "holds no session token", "three parts"),
        (None, "does not exist", "oci session authenticate --profile-name SESSION"),
    ],
)
def test_what_is_no_token(
    text: str | None, message: str, hint: str, session: Session, run: Callable[..., Any]
) -> None:
    """A file that holds no token, or is not there, is named; its contents are not shown."""
    if text is None:
        session.file.unlink()
    else:
        session.file.write_text(text)
    with pytest.raises(ConfigError, match=message) as failed:
        run(OciIdentity(SESSION).key())
    assert hint in (failed.value.hint or "")
    assert str(session.file) in failed.value.message
    assert "hush" not in f"{failed.value.__cause__!r}{failed.value}".replace(str(session.file), "")


def test_a_profile_without_a_session(session: Session, run: Callable[..., Any]) -> None:
    """A profile that names no token file says so."""
    with pytest.raises(ConfigError, match="the profile nobody is not in"):
        run(OciIdentity(OciSettings(auth="security_token", profile="nobody")).key())

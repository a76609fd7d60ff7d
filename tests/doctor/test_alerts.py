"""Whom alerts go to: a real SMTP server that wants STARTTLS and a password, a webhook, and nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doctor.worlds import Report, configure, doctor
from tests.hosts.mail import PASSWORD, Mailbox, mail_server, webhook
from tests.servers import free_port


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with mail_server(tmp_path) as found:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        yield found


def look(folder: Path, url: str) -> Report:
    (folder / "in").mkdir(exist_ok=True)
    job = f'[job.copy]\nkind = "sync"\nsource = "{folder}/in"\ntarget = "{folder}/out"\n'
    report = doctor(configure(folder, f'[alerts]\nurls = ["{url}"]\n{job}'))
    assert PASSWORD not in str(report) and "wrong-Passw0rd" not in str(report)
    return report


def test_a_mail_server_lets_us_in(box: Mailbox, tmp_path: Path) -> None:
    """EHLO, STARTTLS and AUTH succeed, and no mail is sent."""
    report = look(tmp_path, box.url())
    assert report.code == 0 and "accepts the login" in report.of("alerts")["text"]
    assert box.subjects == []


def test_a_wrong_password_is_found(box: Mailbox, tmp_path: Path) -> None:
    """The mail server's refusal fails, without the password."""
    report = look(tmp_path, box.url("wrong-Passw0rd"))
    assert report.failed == {"alerts"} and "rejects the user or the password" in report.of("alerts")["text"]


def test_a_mail_server_that_nobody_vouches_for_is_found(
    box: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that cannot be verified fails before any password is sent."""
    monkeypatch.delenv("SSL_CERT_FILE")
    assert look(tmp_path, box.url()).failed == {"alerts"}


def test_a_webhook_takes_connections(tmp_path: Path) -> None:
    """One that listens is ok and gets no message; one that does not fails."""
    with webhook() as hook:
        assert look(tmp_path, hook.url).verdict("alerts") == "ok"
        assert hook.bodies == []
    assert look(tmp_path, f"json://127.0.0.1:{free_port()}/x").failed == {"alerts"}


@pytest.mark.parametrize(
    ("url", "verdict"),
    [("nonsense://x", "fail"), ("slack://TokenAAAA1/TokenBBBB1/TokenCCCC1aaaaaaaaaaaaaaa", "unknown")],
)
def test_what_cannot_be_tried_is_unknown(tmp_path: Path, url: str, verdict: str) -> None:
    """An address that Apprise does not know fails; a service that only sending would try is unknown."""
    assert look(tmp_path, url).verdict("alerts") == verdict

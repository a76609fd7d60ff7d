"""Alerts of real runs, by real channels: a mail server with STARTTLS and a password, and a webhook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from keepstep.monitoring.alerts import Message
from keepstep.monitoring.channels import channels_of, named
from keepstep.secret import Secret
from tests.hosts.fixtures import COPY, Place, until
from tests.hosts.mail import PASSWORD, Hook, Mailbox, mail_server, webhook

BAD = Message(title="reports: failed", body="it failed\n\nCommand: keepstep status", is_bad=True)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with mail_server(tmp_path) as box:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        yield box


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as hook:
        yield hook


def send(url: str, message: Message = BAD) -> str:
    [send_by] = channels_of(named([(None, Secret(url))])).values()
    return send_by(message)


def test_mail_arrives(box: Mailbox) -> None:
    """By STARTTLS and AUTH, with subject and text as they were."""
    assert send(box.url()) == ""
    assert box.subjects == ["keepstep: reports: failed"]
    assert box.bodies[0].split() == BAD.body.split()


@pytest.mark.parametrize("answer", ["451 try later", "550 no such user"])
def test_a_mail_server_that_refuses_is_an_error(box: Mailbox, answer: str) -> None:
    """A refusal is an error with the server's code, not a success."""
    box.answer = answer
    assert answer[:3] in send(box.url())
    assert box.subjects == []


def test_a_wrong_password_is_not_repeated(box: Mailbox) -> None:
    """The error says that the login failed, and never with what."""
    error = send(box.url(password="wr0ng-passphrase"))
    assert error
    assert "wr0ng-passphrase" not in error
    assert box.subjects == []


def test_a_stranger_gets_no_mail(box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose certificate nobody vouches for gets neither password nor message."""
    monkeypatch.delenv("SSL_CERT_FILE")
    assert send(box.url())
    assert box.subjects == []


def test_a_webhook_is_called(hook: Hook) -> None:
    """As JSON; a status that is no success is an error without the address's secrets."""
    assert send(hook.url) == ""
    assert json.loads(hook.bodies[0])["message"] == BAD.body
    hook.status = 500
    error = send(hook.url)
    assert error
    assert "t0ken" not in error


def test_an_unknown_address_is_an_error() -> None:
    """What Apprise cannot use is said, and not repeated."""
    assert send("nothing://user:p4ssword@host") == "Apprise does not support this kind of address"


def test_a_run_by_hand_tells(place: Place, box: Mailbox, hook: Hook) -> None:
    """A configured job that fails without a daemon: one mail and one call; another run, none; success, recovery."""
    place.configure(f'[alerts]\nurls = ["${{MAIL}}", "{hook.url}"]\n{COPY}')
    for _ in range(2):
        assert place.keepstep("sync", "copy", MAIL=box.url()).returncode == 5
    assert box.subjects == ["keepstep: copy: failed"]
    assert "Command: keepstep status copy; then keepstep sync copy" in box.bodies[0]
    place.source()
    result = place.keepstep("sync", "copy", MAIL=box.url())
    assert result.returncode == 0
    assert box.subjects[1:] == ["keepstep: copy: recovered (failed)"]
    assert len(hook.bodies) == 2


@pytest.mark.long
def test_the_daemon_tells_and_a_deaf_channel_costs_nothing(place: Place, box: Mailbox, hook: Hook) -> None:
    """The mail goes out though the webhook refuses; that is recorded and tried again; no password is written."""
    hook.status = 503
    place.configure(f'[alerts]\nurls = ["{box.url()}", "{hook.url}"]\n{COPY}startup = true\n')
    with place.daemon() as daemon:
        daemon.wait("alert", title="copy: failed")
        trouble = daemon.wait("alert not sent")
        assert trouble["channel"] == "json-2"
        until(lambda: box.subjects == ["keepstep: copy: failed"], daemon.log)
        hook.status = 200
        later = timedelta(minutes=2).total_seconds()
        place.history.database.write(lambda query: query("UPDATE message SET next = next - ?", later))
        until(lambda: len(hook.bodies) == 1, daemon.log)
        daemon.stop()
    written = daemon.log.read_bytes() + b"".join(path.read_bytes() for path in (place.folder / "state").iterdir())
    assert PASSWORD.encode() not in written
    assert b"t0ken-of-the-hook" not in written


HOSTILE = Message(
    title="reports: failed",
    body="reports failed: no object <script>alert(1)</script> <!channel> @everyone [pay](http://evil.example)\n\n"
    "Since: now\nWhat to do: see\nCommand: keepstep status reports",
    is_bad=True,
)


@pytest.mark.parametrize("form", ["", "&format=html", "&format=text"])
def test_a_mail_has_lines_and_no_markup_of_others(box: Mailbox, form: str) -> None:
    """In its text and in its HTML part: what happened, since when, what to do, and the command, a line each."""
    assert send(box.url().replace("&format=text", form), HOSTILE) == ""
    [text], [page] = box.bodies, box.pages
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines == [line for line in HOSTILE.body.splitlines() if line]
    assert ("text" not in form) == bool(page)
    assert "<script" not in page and "&nbsp;" not in page
    assert page.count("<br") == (2 if page else 0)


def test_a_chat_finds_no_mention_and_no_link(hook: Hook) -> None:
    """What is posted looks the same, and nothing in it is taken for a mention, a link or a tag."""
    url = hook.url.replace("json://", "mmost://").partition("?")[0] + "?token=t0ken"
    assert send(url.replace("/hook", "/3ccdd113474722377935511fc85d3dd4"), HOSTILE) == ""
    [posted] = [json.loads(body)["text"] for body in hook.bodies]
    assert not re.search(r"@\w|<[!/\w]|\]\(|https?:/", posted)
    assert "\nCommand: keepstep status reports" in posted

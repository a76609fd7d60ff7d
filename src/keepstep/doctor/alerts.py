"""Whom alerts go to: mail servers are asked to let us in, and nothing is sent."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator
from typing import Any

from keepstep.clouds.tls import verified
from keepstep.config import Config
from keepstep.doctor.check import Check, fail, ok, unknown
from keepstep.doctor.probe import Probe, blocking
from keepstep.runs.alerting import channel_of
from keepstep.runs.channels import scrubbed

_PATIENCE = 10.0
_PORTS = {"insecure": 25, "starttls": 587, "ssl": 465}
_MAIL = ("mailto", "mailtos")
_HOOKS = ("json", "jsons", "xml", "xmls", "form", "forms")
"""Apprise's kinds whose address is the server's own."""


def probes(config: Config) -> Iterator[Probe]:
    if not config.alerts.urls:
        yield Probe("alerts", "[alerts] urls", _nobody)
    for url in config.alerts.urls:
        yield Probe("alerts", channel_of(url), blocking(_channel, url))


async def _nobody() -> Check:
    return ok("alerts", "[alerts] urls", "nobody is called when a run fails: no address is configured")


def _channel(url: str) -> Check:
    import apprise

    about, kind = channel_of(url), url.partition("://")[0]
    service: Any = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if service is None:
        return fail("alerts", about, "Apprise does not know such an address", "see docs/alerts.md for the forms")
    try:
        if kind in _MAIL:
            return _mail(service, about)
        if kind in _HOOKS:
            port = int(service.port or (443 if service.secure else 80))
            with socket.create_connection((service.host, port), _PATIENCE):
                return ok("alerts", about, f"{service.host}:{port} takes connections")
    except smtplib.SMTPAuthenticationError as exc:
        words = scrubbed(_words(exc.smtp_error), url)
        return fail(
            "alerts", about, f"the mail server does not let us in: {words}", "correct user and password in urls"
        )
    except (OSError, smtplib.SMTPException) as exc:
        return fail(
            "alerts", about, scrubbed(str(exc) or type(exc).__name__, url), "see the host, its port and firewalls"
        )
    return unknown(
        "alerts", about, f"{kind} cannot be tried without sending something", "wait for, or cause, an alert"
    )


def _mail(service: Any, about: str) -> Check:
    """EHLO, STARTTLS, AUTH, QUIT."""
    mode = str(service.secure_mode)
    host, port = str(service.smtp_host), int(service.port or _PORTS[mode])
    context = verified()
    if mode == "ssl":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=_PATIENCE, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=_PATIENCE)
    with server:
        if mode == "starttls":
            server.starttls(context=context)
        if service.user and service.password:
            server.login(service.user, service.password)
    entered = "lets us in" if service.user else "answers"
    return ok("alerts", about, f"the mail server {host}:{port} {entered}")


def _words(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said

"""Checks the channels of alerts: logs in to mail servers, and sends nothing."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator
from typing import Any

from keepstep.clouds.tls import verified
from keepstep.config import Config
from keepstep.doctor.check import Check, fail, ok, unknown
from keepstep.doctor.probe import Probe, blocking
from keepstep.errors import ConfigError, Error, NotFound, Transient
from keepstep.monitoring.channels import Channel, meaning, service_of
from keepstep.monitoring.oci_topic import Topic
from keepstep.text import printable

_PATIENCE = 10.0
_PORTS = {"insecure": 25, "starttls": 587, "ssl": 465}
_MAIL = ("mailto", "mailtos")
_HOOKS = ("json", "jsons", "xml", "xmls", "form", "forms")
"""Apprise's kinds whose address is that of the server itself."""


def probes(config: Config) -> Iterator[Probe]:
    if not config.alerts.urls:
        yield Probe("alerts", "[alerts] urls", _nobody)
    for channel in config.alerts.channels:
        yield Probe("alerts", channel.name, blocking(_tried, channel))


async def _nobody() -> Check:
    return ok("alerts", "[alerts] urls", "nobody is alerted when a run fails: no address is configured")


def _tried(channel: Channel) -> Check:
    """Shows nothing of the address and quotes no error about it: either may contain its secret."""
    about = channel.name
    try:
        service = service_of(channel.url)
    except ConfigError as exc:
        return fail("alerts", about, exc.message, exc.hint or "")
    if isinstance(service, Topic):
        return _topic(service, about)
    if service is None:
        return fail(
            "alerts", about, "Apprise does not support this kind of address", "see docs/alerts.md for the forms"
        )
    try:
        if channel.kind in _MAIL:
            return _mail(service, about)
        if channel.kind in _HOOKS:
            port = int(service.port or (443 if service.secure else 80))
            with socket.create_connection((service.host, port), _PATIENCE):
                return ok("alerts", about, "accepts connections")
    except smtplib.SMTPAuthenticationError:
        why = "the mail server rejects the user or the password"
        return fail("alerts", about, why, "correct the user and password in [alerts] urls")
    except (OSError, smtplib.SMTPException) as exc:
        why = meaning(f"{type(exc).__name__}: {exc}")
        return fail("alerts", about, why, "check the host and port in [alerts] urls, and firewalls")
    return unknown(
        "alerts", about, "cannot be checked without sending a message", "wait for an alert, or cause one"
    )


def _topic(topic: Topic, about: str) -> Check:
    """Checks that the topic exists; publishes nothing."""
    try:
        return ok("alerts", about, f"the topic {printable(topic.look())} exists")
    except (NotFound, Transient) as exc:
        # An identity that may only publish cannot see the topic.
        return unknown("alerts", about, printable(exc.message), printable(exc.hint or ""))
    except Error as exc:
        return fail("alerts", about, printable(exc.message), printable(exc.hint or ""))


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
    entered = "accepts the login" if service.user else "answers"
    return ok("alerts", about, f"the mail server {entered}")

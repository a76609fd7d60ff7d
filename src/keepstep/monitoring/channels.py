"""Channels for messages: any address that Apprise supports, and topics of OCI Notifications.

Any part of an address may be a secret: some services put a token where others have a host. So only its kind is ever
shown, which is a word from Apprise's own list. Errors of a channel or of Apprise are not quoted: they are mapped to
known causes.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from keepstep.clouds.sdk_guard import guard_requests
from keepstep.errors import Error
from keepstep.monitoring.alerting import Send
from keepstep.monitoring.alerts import Message
from keepstep.monitoring.oci_topic import KIND, Topic, is_topic, topic_of
from keepstep.secret import Secret

_COMMON = {
    *("discord", "gchat", "json", "jsons", "mailto", "mailtos", "mmost", "mmosts", "msteams", "ntfy", "ntfys"),
    *("opsgenie", "pagerduty", "ses", "slack", "sns", "tgram", "workflow", "workflows", "xml", "xmls"),
}
"""Kinds that are known without importing Apprise, which takes a while."""
_PLAIN = {
    "mailto",
    "mailtos",
    "ses",
    "sns",
    "json",
    "jsons",
    "xml",
    "xmls",
    "form",
    "forms",
    "pagerduty",
    "opsgenie",
}
"""Kinds that do not turn text into mentions, so that commands in a message can be copied unchanged."""
_MAIL = {"mailto", "mailtos"}
_SCHEME = re.compile(r"[a-z][a-z0-9]{1,30}")

_MEANINGS = (
    (r"error[=: ]+(\d{3})\b", "the service answered {0}"),
    (r"\((\d{3}), b?['\"]", "the server answered {0}"),
    (r"(?i)certificate.verify.failed|CERTIFICATE_VERIFY_FAILED", "its TLS certificate could not be verified"),
    (r"(?i)connection refused", "the connection was refused"),
    (r"(?i)name or service not known|failed to resolve|getaddrinfo|name resolution", "its name does not resolve"),
    (r"(?i)timed? ?out", "it did not respond in time"),
    (r"(?i)network is unreachable|no route to host", "there is no route to it"),
    (r"(?i)SMTPAuthenticationError", "it rejects the user or the password"),
    (r"(?i)connection.*(reset|closed|aborted)|SMTPServerDisconnected", "the connection was closed"),
)
"""Patterns in errors of Apprise and its libraries, and the text shown for each: fixed words and a status code."""

# Apprise logs addresses, which may contain secrets.
logging.getLogger("apprise").propagate = False


@dataclass(frozen=True, slots=True)
class Channel:
    """One address that receives messages."""

    name: str
    """The name from the configuration, or kind and number."""
    url: Secret

    @property
    def kind(self) -> str:
        return kind_of(self.url.reveal())


def kind_of(url: str) -> str:
    """The scheme of an address if Apprise knows it, otherwise ``unknown``: it may be the start of a secret."""
    scheme = url.partition(":")[0].strip().lower()
    if scheme in _COMMON or scheme == KIND:
        return scheme
    return scheme if _SCHEME.fullmatch(scheme) and scheme in _all_kinds() else "unknown"


def named(given: Sequence[tuple[str | None, Secret]]) -> list[Channel]:
    """Channels with names. Those without a name get their kind and a number, such as ``slack-2``."""
    return [
        Channel(name or f"{kind_of(url.reveal())}-{number}", url)
        for number, (name, url) in enumerate(given, start=1)
    ]


def channels_of(channels: Iterable[Channel]) -> dict[str, Send]:
    """Functions that send, by channel name."""
    return {channel.name: partial(_send, channel.url) for channel in channels}


def service_of(url: Secret) -> Any:
    """A :class:`Topic`, or Apprise's object for an address; None if the kind is not supported. Sends nothing.

    Raises :class:`ConfigError` for a malformed topic address.
    """
    if is_topic(url.reveal()):
        return topic_of(url.reveal())
    import apprise
    import requests

    guard_requests(requests)
    asset = apprise.AppriseAsset(app_id="keepstep", app_desc="keepstep", storage_mode="memory", async_mode=False)
    capture: Any = apprise.LogCapture
    with capture(level=logging.CRITICAL):
        return apprise.Apprise.instantiate(url.reveal(), asset=asset, suppress_exceptions=True)


def _send(url: Secret, message: Message) -> str:
    """Sends one message; returns what went wrong."""
    if is_topic(url.reveal()):
        return _publish(url, message)
    import apprise

    service = service_of(url)
    if service is None:
        return "Apprise does not support this kind of address"
    kind = apprise.NotifyType.FAILURE if message.is_bad else apprise.NotifyType.SUCCESS
    title, body, form = f"keepstep: {message.title}", message.body, apprise.NotifyFormat.TEXT
    if kind_of(url.reveal()) not in _PLAIN:
        title, body = defused(title), defused(body)
    elif kind_of(url.reveal()) in _MAIL and apprise.NotifyFormat.HTML in _formats(service):
        # The HTML that Apprise makes of a text has lines that do not wrap.
        body, form = html_of(body), apprise.NotifyFormat.HTML
    all_ = apprise.Apprise()
    all_.add(service)
    capture: Any = apprise.LogCapture
    with capture(level=logging.DEBUG, fmt="%(message)s") as said:
        try:
            # Declared as text, so that Apprise escapes it for channels that take HTML or Markdown.
            is_sent = all_.notify(title=title, body=body, notify_type=kind, body_format=form)
        except Exception as exc:  # noqa: BLE001 - a channel's fault is the channel's
            return meaning(f"{type(exc).__name__}: {exc}")
        return "" if is_sent else meaning(said.getvalue())


def _publish(url: Secret, message: Message) -> str:
    """Sends to a topic, whose subscribers may be mail addresses, chats and functions."""
    try:
        topic: Topic = topic_of(url.reveal())
    except Error as exc:
        return exc.message
    return topic.send(f"keepstep: {message.title}", message.body)


def _formats(service: Any) -> tuple[Any, ...]:
    """The format for a channel; mail gets both text and HTML."""
    given = service.notify_format
    return given if isinstance(given, tuple) else (given,)


def html_of(body: str) -> str:
    """A message as HTML: its first line, then one line for each field."""
    first, *rest = [html.escape(line) for line in body.split("\n") if line]
    named = (line.partition(": ") for line in rest)
    lines = "<br>".join(f"<b>{name}:</b> {text}" for name, _, text in named)
    return f"<p>{first}</p>\n<p>{lines}</p>\n"


def meaning(said: str) -> str:
    """The likely cause of a failure, without quoting the error."""
    for pattern, words in _MEANINGS:
        if found := re.search(pattern, said):
            return words.format(*found.groups())
    return "the channel did not accept the message"


_GAP = "\u200b"
"""A zero-width space: invisible, and it breaks words that programs would turn into links and mentions."""


def defused(text: str) -> str:
    """Text that looks the same, but in which no chat or mail program finds a mention or a link."""
    text = re.sub(r"@(?=\w)", f"@{_GAP}", text)
    text = re.sub(r"<(?=[!@#:/\w])", f"<{_GAP}", text)
    text = re.sub(r"\](?=\()", f"]{_GAP}", text)
    text = re.sub(r"(?i)\b(https?|ftp|mailto|file|javascript):(?=\S)", rf"\1:{_GAP}", text)
    return re.sub(r"(?i)\bwww\.(?=\w)", f"www{_GAP}.", text)


_kinds: set[str] = set()


def _all_kinds() -> set[str]:
    if not _kinds:
        try:
            import apprise
        except ModuleNotFoundError:
            return set()
        for service in apprise.Apprise().details()["schemas"]:
            _kinds.update(service["protocols"] or (), service["secure_protocols"] or ())
    return _kinds

"""Where messages go: any address that Apprise knows. Addresses hold passwords, and are never repeated."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from keepstep.runs.alerting import Send, channel_of
from keepstep.runs.alerts import Message

_SHORT = 3
"""Parts of an address that are no longer than this are no secrets, and are everywhere."""


def channels_of(urls: Iterable[str]) -> dict[str, Send]:
    """By the channel's name, which tells nothing of the address."""
    return {channel_of(url): partial(_send, url) for url in urls}


def _send(url: str, message: Message) -> str:
    """Sends one message; returns what went wrong, without what is secret in the address."""
    import apprise

    asset = apprise.AppriseAsset(app_id="keepstep", app_desc="keepstep", storage_mode="memory")
    service = apprise.Apprise(asset=asset)
    if not service.add(url):
        return "Apprise does not know such an address"
    kind = apprise.NotifyType.FAILURE if message.is_bad else apprise.NotifyType.SUCCESS
    capture: Any = apprise.LogCapture
    with capture(level=logging.DEBUG, fmt="%(levelno)s %(message)s") as said:
        try:
            is_sent = service.notify(title=f"keepstep: {message.title}", body=message.body, notify_type=kind)
        except Exception as exc:  # noqa: BLE001 - a channel's fault is the channel's
            return scrubbed(repr(exc), url)
        lines = said.getvalue().splitlines()
    return "" if is_sent else scrubbed(_reason(lines) or "the channel did not take it", url)


def _reason(lines: Iterable[str]) -> str:
    """Apprise's warnings, and the other side's words, which it has for its debug log alone."""
    split = [line.partition(" ") for line in lines]
    kept = [text for level, _, text in split if level >= str(logging.WARNING) or " Exception:" in text]
    return " ".join(" ".join(kept).split())


def scrubbed(text: str, url: str) -> str:
    """The text without the parts of the address that may be secret: all but its kind, host and port."""
    parts = urlsplit(url)
    words = [*re.split(r"[/:@?&=]", url.partition("://")[2]), *(value for _, value in parse_qsl(parts.query))]
    names = {key for key, _ in parse_qsl(parts.query)}
    secrets = {each for word in words for each in (word, unquote(word)) if len(each) > _SHORT}
    for secret in sorted(secrets, key=len, reverse=True):
        if secret not in (parts.hostname or "") and secret not in names:
            text = text.replace(secret, "***")
    return text[:500]

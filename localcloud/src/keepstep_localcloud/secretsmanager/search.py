"""ListSecrets' filters, order and pages, and the tokens of every paged answer.

A secret is found when every filter has a value that matches; a leading ``!`` turns a value round. ``description``
matches from the start and ``all`` by words anywhere, whatever the case; the others from the start with their case.
Source: API reference of Filter and ListSecrets.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from keepstep_localcloud.secretsmanager.model import Secret, SecretsError

Item = TypeVar("Item")
_NEVER = datetime.fromtimestamp(0, UTC)


def search(secrets: Iterable[Secret], filters: Sequence[dict[str, Any]]) -> list[Secret]:
    return [secret for secret in secrets if all(_passes(secret, one) for one in filters)]


def _passes(secret: Secret, wanted: dict[str, Any]) -> bool:
    key, values = wanted.get("Key", "all"), wanted.get("Values", [])
    return any(
        not _matches(secret, key, value[1:]) if value.startswith("!") else _matches(secret, key, value)
        for value in values
    )


def _matches(secret: Secret, key: str, value: str) -> bool:
    texts = {
        "name": [secret.name],
        "tag-key": list(secret.tags),
        "tag-value": list(secret.tags.values()),
        "primary-region": [secret.arn.split(":")[3]],
        "owning-service": [],
    }
    described = (secret.description or "").lower()
    match key:
        case "description":
            return bool(described) and described.startswith(value.lower())
        case "all":
            everything = " ".join([described, *(text for some in texts.values() for text in some)]).lower()
            return any(word in everything for word in value.lower().split())
        case _:
            return any(text.startswith(value) for text in texts[key])


def ordered(secrets: Iterable[Secret], by: str, order: str) -> list[Secret]:
    keys: dict[str, Any] = {
        "created-date": lambda secret: secret.created,
        "last-accessed-date": lambda secret: secret.accessed or _NEVER,
        "last-changed-date": lambda secret: secret.changed,
        "name": lambda secret: secret.name,
    }
    return sorted(secrets, key=keys[by], reverse=order == "desc")


def page(items: Sequence[Item], limit: int, token: str | None) -> tuple[Sequence[Item], dict[str, str]]:
    """The items of a page, and ``NextToken`` when there are more. Raises ``InvalidNextTokenException``."""
    start = _start(token) if token is not None else 0
    end = start + limit
    return items[start:end], {"NextToken": _token(end)} if end < len(items) else {}


def _token(start: int) -> str:
    return base64.b64encode(f"from {start}".encode()).decode()


def _start(token: str) -> int:
    try:
        return int(base64.b64decode(token, validate=True).decode().removeprefix("from "))
    except ValueError as exc:
        raise SecretsError("InvalidNextTokenException", "Invalid token") from exc

"""List calls in pages, as OCI's "List Pagination" has them: ``limit``, ``page`` and ``opc-next-page``."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from keepstep_localcloud.vault.details import invalid
from keepstep_localcloud.wire import Request

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

Item = TypeVar("Item")
Key = tuple[Any, ...]


def page_of(
    request: Request, items: Iterable[Item], key: Callable[[Item], Key], *, descending: bool
) -> tuple[list[Item], dict[str, str]]:
    """The page that was asked for, and the headers that go with it.

    ``key`` is unique and made of what JSON can hold; ``descending`` is the order when ``sortOrder`` is not given.
    A page token names the last item seen, so items that come or go between pages repeat and hide no other.
    """
    descending = chosen(request, "sortOrder", ("ASC", "DESC"), "DESC" if descending else "ASC") == "DESC"
    limit = _limit(request)
    ordered = sorted(items, key=key, reverse=descending)
    if "page" in request.query:
        seen = _opened(request.query["page"])
        ordered = _after(ordered, key, seen, descending)
    page = ordered[:limit]
    return page, {"opc-next-page": _token(key(page[-1]))} if len(ordered) > limit else {}


def chosen(request: Request, parameter: str, values: tuple[str, ...], default: str) -> str:
    """A query parameter that has one of some values. Raises 400 ``InvalidParameter``."""
    value = request.query.get(parameter, default)
    if value not in values:
        raise invalid(f"{parameter} must be one of {', '.join(values)}")
    return value


def _limit(request: Request) -> int:
    text = request.query.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise invalid(f"limit must be between 1 and {MAX_LIMIT}")
    return int(text)


def _after(ordered: list[Item], key: Callable[[Item], Key], seen: Key, descending: bool) -> list[Item]:
    try:
        return [item for item in ordered if (key(item) < seen if descending else key(item) > seen)]
    except TypeError as exc:
        raise invalid("page belongs to another list") from exc


def _token(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _opened(token: str) -> Key:
    try:
        return tuple(json.loads(base64.urlsafe_b64decode(token)))
    except (ValueError, TypeError, RecursionError) as exc:
        raise invalid("page is not a token of this service") from exc

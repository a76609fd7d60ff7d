"""Who may see the status page, and what a browser may do with it.

On a loopback address whoever is on this machine may, as long as the browser asked for this machine by its name: a
page elsewhere whose name leads here (DNS rebinding) is refused. On any other address a token is asked for, and
without one that is configured nobody gets in. Nothing can be changed through the page, so nothing can be forged.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from keepstep.secret import Secret

COOKIE = "keepstep"
_PAUSE = 1.0
"""Seconds that a wrong token costs."""
_LONGEST = 4096
"""Bytes of a form."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer."""


class Access:
    """Decides for one address that is listened at."""

    def __init__(self, host: str, token: Secret | None) -> None:
        self._is_loopback = is_loopback(host)
        self._token = token

    def refusal(self, request: Request) -> str | None:
        """None for whoever may look; ``login`` for whoever has to show the token; else why nobody may."""
        if self._token:
            return None if self._is_known(request) else "login"
        if not self._is_loopback:
            return "this address can be reached from other machines: set [dashboard] token, or listen on 127.0.0.1"
        if not is_loopback(_asked_host(request)):
            return "on this machine the page is at http://127.0.0.1, or http://localhost"
        return None

    async def login(self, request: Request) -> Response | None:
        """The way in, with a cookie that is no token; None when the token is wrong."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LONGEST:
                return None
        given = parse_qs(body.decode(errors="replace")).get("token", [""])[0]
        if not self._token or not hmac.compare_digest(given.encode(), self._token.reveal_bytes()):
            await asyncio.sleep(_PAUSE)
            return None
        response = RedirectResponse("/", 303)
        is_secret = request.url.scheme == "https"
        response.set_cookie(COOKIE, self._ticket, httponly=True, samesite="strict", secure=is_secret)
        return response

    @property
    def _ticket(self) -> str:
        assert self._token
        return hmac.digest(self._token.reveal_bytes(), b"keepstep status page", hashlib.sha256).hex()

    def _is_known(self, request: Request) -> bool:
        assert self._token
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        has_token = hmac.compare_digest(bearer, self._token.reveal_bytes())
        return has_token or hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._ticket.encode())


_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?")


def _asked_host(request: Request) -> str:
    """The host that the browser asked for (RFC 9112, 3.2); empty when there is not exactly one that can be read."""
    given = request.headers.getlist("host")
    found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
    return found["host"] if found else ""


def is_loopback(host: str) -> bool:
    """``localhost`` and the loopback addresses, as browsers and sockets write them."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"

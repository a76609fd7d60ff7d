"""Decides who may see the status page, and what a browser may do with it.

On a loopback address every user of this machine may see it, if the browser used a name of this machine: a foreign
name that resolves to it (DNS rebinding) is refused. On any other address a token is required, and without a
configured token nobody gets in. The page is read-only, so no request can be forged.
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
"""Seconds of delay after a wrong token."""
_LONGEST = 4096
"""Maximum bytes of a form."""
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
"""Headers of every response."""


class Access:
    """Decides for one listening address."""

    def __init__(self, host: str, token: Secret | None) -> None:
        self._is_loopback = is_loopback(host)
        self._token = token

    def refusal(self, request: Request) -> str | None:
        """None if the request is allowed; ``login`` if a token is needed; otherwise why it is denied."""
        if self._token:
            return None if self._is_known(request) else "login"
        if not self._is_loopback:
            return "this address is reachable from other machines: set [dashboard] token, or listen on 127.0.0.1"
        if not is_loopback(_asked_host(request)):
            return "from this machine use http://127.0.0.1 or http://localhost"
        return None

    async def login(self, request: Request) -> Response | None:
        """Logs in with a cookie that is not the token; None if the token is wrong."""
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
    """The requested host (RFC 9112, 3.2); empty unless there is exactly one valid Host header."""
    given = request.headers.getlist("host")
    found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
    return found["host"] if found else ""


def is_loopback(host: str) -> bool:
    """``localhost`` and the loopback addresses, as browsers and sockets write them."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"

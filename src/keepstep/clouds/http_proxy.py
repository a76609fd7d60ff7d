"""The proxy that the environment asks for, between us and an origin."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from keepstep.errors import ConfigError


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy, spoken to without TLS; what goes to an https origin is encrypted through it."""

    host: str
    port: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    """Who we are to it."""


def proxy_for(scheme: str, netloc: str) -> Proxy | None:
    """As ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` say (urllib's reading). Raises :class:`ConfigError`."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    import urllib.request  # twice the time of everything else here

    address = urllib.request.getproxies().get(scheme)
    if not address or urllib.request.proxy_bypass(netloc):
        return None
    url = urlsplit(address if "://" in address else f"http://{address}")
    try:
        port = url.port or 80
    except ValueError:
        port = 0
    if url.scheme != "http" or not url.hostname or not port:
        raise ConfigError(
            f"{scheme.upper()}_PROXY is not the address of an HTTP proxy", hint="write it as http://host:port"
        )
    headers: tuple[tuple[str, str], ...] = ()
    if url.username:
        user = f"{unquote(url.username)}:{unquote(url.password or '')}"
        headers = (("proxy-authorization", "Basic " + base64.b64encode(user.encode()).decode()),)
    return Proxy(url.hostname, port, headers)

"""The proxy that the environment configures for an origin: one reading of it for every client.

As curl reads it (``curl(1)``, "ENVIRONMENT"), with what users of Go's and Python's clients expect next to: ports in
NO_PROXY. One difference: metadata services, which hand out credentials, and this machine itself are never asked
through a proxy, whatever the variables say.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from keepstep.errors import ConfigError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "fd00:ec2::23", "fd00:c1::a9fe:a9fe")
)
"""Of AWS and OCI, next to the link-local ones: instance, pod identity; instance."""
_METADATA_URLS = (
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "OCI_METADATA_BASE_URL",
)
"""Where users put a metadata service of their own."""
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy, spoken to without TLS; what goes to an https origin is encrypted through it."""

    host: str
    port: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    """The credentials for the proxy."""


def proxy_for(scheme: str, netloc: str) -> Proxy | None:
    """For an origin of ``http`` or ``https``. Raises :class:`ConfigError` for what is no address of a proxy."""
    address = _address_for(f"{scheme}://{netloc}", ("http",))
    if address is None:
        return None
    url = urlsplit(address)
    headers: tuple[tuple[str, str], ...] = ()
    if url.username:
        user = f"{unquote(url.username)}:{unquote(url.password or '')}"
        headers = (("proxy-authorization", "Basic " + base64.b64encode(user.encode()).decode()),)
    return Proxy(url.hostname or "", url.port or 80, headers)


def proxy_url(url: str) -> str | None:
    """For libraries: the proxy that a request for ``url`` goes through, with its user and password.

    Raises :class:`ConfigError` for what is no address of a proxy.
    """
    return _address_for(url, ("http", "https"))


def _address_for(url: str, schemes: Collection[str]) -> str | None:
    """Of the proxy for ``url``. Raises :class:`ConfigError` for what is not one of the ``schemes``."""
    variable, text = _configured(urlsplit(url).scheme)
    if not text or is_direct(url):
        return None
    address = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(address)
        is_proxy = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_proxy = False
    if not is_proxy:
        raise ConfigError(f"{variable} is not the address of an HTTP proxy", hint="write it as http://host:port")
    return address


def is_direct(url: str) -> bool:
    """Whether ``url`` is asked without a proxy, because of what it is or because NO_PROXY says so."""
    parts = urlsplit(url)
    host = _normal(parts.hostname or "")
    try:
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        port = 0
    address = _address(host)
    if _is_here(host, address) or any(_is_host_of(os.environ.get(name, ""), host) for name in _METADATA_URLS):
        return True
    _, exceptions = _first("no_proxy", "NO_PROXY")
    return any(_covers(each, host, address, port) for each in exceptions.replace(",", " ").split())


def _configured(scheme: str) -> tuple[str, str]:
    """The variable that decides, and what it says. A CGI's request could set HTTP_PROXY (CVE-2016-5385)."""
    if scheme not in _PORTS:
        return "", ""
    names = [f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"]
    if "REQUEST_METHOD" in os.environ and scheme == "http":
        names.remove("HTTP_PROXY")
    name, value = _first(*names)
    return name.upper(), value


def _first(*names: str) -> tuple[str, str]:
    """The first variable that says something."""
    return next(((name, value) for name in names if (value := os.environ.get(name, "").strip())), ("", ""))


def _is_here(host: str, address: _Address | None) -> bool:
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_link_local or address in _METADATA


def _is_host_of(url: str, host: str) -> bool:
    try:
        return bool(host) and _normal(urlsplit(url).hostname or "") == host
    except ValueError:
        return False


def _covers(exception: str, host: str, address: _Address | None, port: int) -> bool:
    """Whether one entry of NO_PROXY names the host: ``*``, a name and what is below it, an address, a network."""
    if exception == "*":
        return True
    name, only = _split(exception.lower())
    if only and only != port:
        return False
    if address is not None:
        try:
            return address in ipaddress.ip_network(name.strip("[]"), strict=False)
        except ValueError:
            return False
    name = _normal(name.removeprefix("*").lstrip("."))
    return bool(name) and (host == name or host.endswith("." + name))


def _split(exception: str) -> tuple[str, int]:
    """A name and its port, 0 for any. An address of IPv6 has more colons than one, and brackets before a port."""
    name, colon, port = exception.rpartition(":")
    is_port = colon and port.isdecimal() and (":" not in name or name.endswith("]"))
    return (name, int(port)) if is_port else (exception, 0)


def _normal(host: str) -> str:
    """Without case, the dot that ends a full name, and the zone of an address."""
    return host.lower().rstrip(".").partition("%")[0]


def _address(host: str) -> _Address | None:
    """Of any spelling that reaches it: ``::ffff:127.0.0.1`` is 127.0.0.1."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

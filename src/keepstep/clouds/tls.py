"""TLS as it is spoken everywhere: verified to the name, which only a subject alternative name can prove."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Collection
from typing import Any


def verified(*, cafile: str | None = None, cadata: str | None = None) -> ssl.SSLContext:
    """A client's context. Without authorities of the caller's, PEM in a file or in text, the system's are trusted.

    A certificate that has only a common name is refused (RFC 9525, section 2), also where a library turns Python's
    own check off to look for names itself. Raises ``OSError`` or ``ssl.SSLError`` where the authorities cannot be
    read.
    """
    context = ssl.create_default_context(cafile=cafile, cadata=cadata)
    context.hostname_checks_common_name = False
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    expect(context, ())
    return context


def expect(context: ssl.SSLContext, hosts: Collection[str]) -> None:
    """For a library that looks for names itself: the certificate must have an alternative name of one of ``hosts``.

    Without hosts any alternative name will do, and whose it is the caller finds out.
    """

    class Named(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            _check(self.getpeercert(), hosts)

    class NamedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            _check(self.getpeercert(), hosts)

    context.sslobject_class, context.sslsocket_class = Named, NamedSocket


def pinned(context: ssl.SSLContext) -> None:
    """From now on the caller compares the certificate's whole subject, so that it needs no name."""
    context.sslobject_class, context.sslsocket_class = ssl.SSLObject, ssl.SSLSocket


def _check(certificate: Any, hosts: Collection[str]) -> None:
    names = (certificate or {}).get("subjectAltName", ())
    if not names:
        raise _error("the certificate has only a common name, which proves nothing")
    if hosts and not any(_is_of(kind, name, host) for kind, name in names for host in hosts):
        raise _error(f"the certificate is not valid for {' or '.join(hosts)}")


def _error(text: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, text)
    error.verify_message = error.reason = text
    return error


def _is_of(kind: str, name: str, host: str) -> bool:
    """By RFC 9525, section 6.3: a wildcard is the whole first label, and stands for one label."""
    host, name = host.lower().strip("[]").rstrip("."), name.lower()
    if kind == "DNS":
        return name == host or (name.startswith("*.") and host.partition(".")[1:] == (".", name[2:]))
    try:
        return kind == "IP Address" and ipaddress.ip_address(name) == ipaddress.ip_address(host)
    except ValueError:
        return False

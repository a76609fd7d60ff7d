"""TLS as it is spoken everywhere: verified to the name, which only a subject alternative name can prove."""

from __future__ import annotations

import ssl


def verified(*, cafile: str | None = None, cadata: str | None = None) -> ssl.SSLContext:
    """A client's context. Without authorities of the caller's, PEM in a file or in text, the system's are trusted.

    A certificate that has only a common name is refused (RFC 9525, section 2). Raises ``OSError`` or
    ``ssl.SSLError`` where the authorities cannot be read.
    """
    context = ssl.create_default_context(cafile=cafile, cadata=cadata)
    context.hostname_checks_common_name = False
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context

"""An Oracle wallet, read in memory: from it come the authorities to trust, the client's certificate, and the names
of services.

The zip that ADB hands out holds ``ewallet.pem`` (or ``ewallet.p12``) and ``tnsnames.ora``; a PEM file alone is a
wallet too. Nothing of it is ever written to a disk: OpenSSL, which reads keys from files only, is given a file in
anonymous memory (memfd_create(2)) that is gone when it has been read.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import ssl
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from keepstep.clouds.tls import verified
from keepstep.errors import ConfigError
from keepstep.secret import Secret

_LIMIT = 1 << 20
"""Bytes that a file in a wallet may have; ADB's have some thousands."""
_ENTRY = re.compile(r"^\s*([A-Za-z0-9_.,$#\s-]+?)\s*=\s*(?=\()", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Wallet:
    """What a wallet holds."""

    pem: Secret
    """Certificates, and the private key where the server asks its clients for one."""
    password: Secret | None = None
    """What the private key is encrypted with."""
    names: dict[str, str] = field(default_factory=dict)
    """Connect descriptors by their names in lower case."""

    @property
    def certificates(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(self.pem.reveal_bytes())

    @property
    def expires(self) -> datetime:
        """When the first of its certificates does; aware, UTC."""
        return min(certificate.not_valid_after_utc for certificate in self.certificates)

    def trust(self) -> ssl.SSLContext:
        """TLS that trusts the wallet's authorities alone, and presents the client's certificate. Raises
        :class:`ConfigError`."""
        authorities = [each for each in self.certificates if _is_authority(each)]
        if not authorities:
            raise ConfigError("the wallet names no authority whose certificates could be trusted", hint=_HINT)
        pems = (each.public_bytes(Encoding.PEM).decode() for each in authorities)
        context = verified(cadata="".join(pems))
        if b"PRIVATE KEY-----" in self.pem.reveal_bytes():
            self._identify(context)
        return context

    def _identify(self, context: ssl.SSLContext) -> None:
        password = self.password.reveal_bytes() if self.password else b""
        descriptor = os.memfd_create("wallet")
        try:
            os.write(descriptor, self.pem.reveal_bytes())
            # A function, so that OpenSSL never asks the terminal.
            context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=lambda: password)
        except ssl.SSLError as exc:
            raise ConfigError("the wallet's private key cannot be read", hint=_ASK) from exc
        finally:
            os.close(descriptor)


def read_wallet(content: bytes, password: Secret | None = None) -> Wallet:
    """A zip or a PEM file, or either in base64 as secrets hold what is not text. Raises :class:`ConfigError`."""
    content = _decoded(content)
    if not content.startswith(b"PK"):
        return _checked(Wallet(Secret(content), password))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = {os.path.basename(name): _member(archive, name) for name in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as exc:
        raise ConfigError("the wallet is not a zip file that can be read", hint=_HINT) from exc
    names = _names(files.get("tnsnames.ora", b"").decode("utf-8", "replace"))
    if "ewallet.pem" in files:
        return _checked(Wallet(Secret(files["ewallet.pem"]), password, names))
    if "ewallet.p12" in files:
        return _checked(Wallet(_opened(files["ewallet.p12"], password), None, names))
    raise ConfigError("the wallet holds neither ewallet.pem nor ewallet.p12", hint=_HINT)


def _decoded(content: bytes) -> bytes:
    if content.startswith(b"PK") or b"-----BEGIN" in content:
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error as exc:
        raise ConfigError("the wallet is neither a zip nor a PEM file", hint=_HINT) from exc


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        content = file.read(_LIMIT + 1)
    if len(content) > _LIMIT:
        raise ConfigError(f"{os.path.basename(name)} in the wallet is too large to be a part of one", hint=_HINT)
    return content


def _opened(content: bytes, password: Secret | None) -> Secret:
    try:
        store = pkcs12.load_pkcs12(content, password.reveal_bytes() if password else None)
    except ValueError as exc:
        raise ConfigError("the wallet's ewallet.p12 cannot be opened", hint=_ASK) from exc
    chain = [each.certificate for each in (store.cert, *store.additional_certs) if each]
    pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    if store.key:
        pem += store.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Secret(pem)


def _checked(wallet: Wallet) -> Wallet:
    try:
        _ = wallet.certificates
    except ValueError as exc:
        raise ConfigError("the wallet holds no certificate", hint=_HINT) from exc
    return wallet


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return certificate.issuer == certificate.subject


def _names(text: str) -> dict[str, str]:
    """The entries of a tnsnames.ora: one or several names, ``=``, and a descriptor in parentheses."""
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    found: dict[str, str] = {}
    at = 0
    while entry := _ENTRY.search(text, at):
        at = _end_of(text, entry.end())
        for name in entry[1].split(","):
            found[name.strip().lower()] = re.sub(r"\s*\n\s*", "", text[entry.end() : at])
    return found


def _end_of(text: str, start: int) -> int:
    """Behind the parenthesis that closes the one at ``start``."""
    depth = 0
    for at in _positions(text, start):
        depth += 1 if text[at] == "(" else -1
        if depth == 0:
            return at + 1
    return len(text)


def _positions(text: str, start: int) -> Iterable[int]:
    return (found.start() for found in re.compile(r"[()]").finditer(text, start))


_HINT = "it is the zip that ADB offers under Database connection, or the ewallet.pem in it"
_ASK = "give the password that the wallet was downloaded with"

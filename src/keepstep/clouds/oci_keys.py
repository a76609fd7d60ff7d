"""Private keys for OCI: read, and when that fails, told apart by what is wrong with them.

Source: "Required Keys and OCIDs" of the OCI documentation (RSA, at least 2048 bits, PEM) and
``oci.signer.load_private_key``, whose leniency is kept: a pass phrase that is not needed does no harm.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key

from keepstep.errors import ConfigError
from keepstep.secret import Secret

_WANTED = "the key is a PEM file that begins with -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----"
_MOST = 1024 * 1024
"""Bytes of a file. Configurations, keys and tokens have a few thousand."""
_WHERE = "pass_phrase in the profile, or OCI_CLI_PASSPHRASE"


def load_private_key(pem: bytes, pass_phrase: Secret | None, *, name: str, setting: str = _WHERE) -> RSAPrivateKey:
    """The RSA key in ``pem``. ``name`` is how errors call it: a path, or the variable that holds it.

    ``setting`` is what holds the pass phrase of an encrypted key.
    Raises :class:`ConfigError`, never with anything of the key or the pass phrase in it.
    """
    pem = pem.strip()
    if not pem:
        raise ConfigError(
            f"the private key {name} is empty",
            hint=f"{_WANTED}; check whatever wrote it (a template variable that was not set leaves it empty)",
        )
    if b"-----BEGIN" not in pem:
        raise ConfigError(f"the private key {name} is not PEM", hint=f"{_WANTED}, with real line breaks")
    if b"PUBLIC KEY-----" in pem.splitlines()[0] or b"BEGIN CERTIFICATE" in pem:
        raise ConfigError(
            f"the private key {name} is a public one", hint="name the file that was made together with it, key.pem"
        )
    key = _load(pem, pass_phrase, name, setting)
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError(f"the private key {name} is not an RSA key", hint="OCI signs with RSA keys only")
    return key


def _load(pem: bytes, pass_phrase: Secret | None, name: str, setting: str) -> object:
    try:
        return serialization.load_pem_private_key(pem, pass_phrase.reveal_bytes() if pass_phrase else None)
    except TypeError as exc:
        if pass_phrase is None or not pass_phrase:
            raise ConfigError(
                f"the private key {name} is encrypted, and there is no pass phrase",
                hint=f"set {setting}",
            ) from exc
        return _load(pem, None, name, setting)  # a pass phrase inherited from [DEFAULT] for a key that has none
    except (ValueError, UnsupportedAlgorithm) as exc:
        if b"ENCRYPTED" in pem and pass_phrase:
            raise ConfigError(f"the pass phrase of the private key {name} is wrong") from exc
        raise ConfigError(f"the private key {name} is damaged", hint=_WANTED) from exc


def new_session_key() -> RSAPrivateKey:
    """The key that a token is bound to, made for that token alone; takes about a tenth of a second."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def bare(key: RSAPublicKey) -> str:
    """A public key as token services take it: PEM without its first and last line and without line breaks."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_bytes(serialization.Encoding.DER, form)).decode()


def fingerprint(key: RSAPublicKey) -> str:
    """As OCI shows it next to an API key: MD5 of the DER form, hexadecimal in pairs with colons."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.md5(der, usedforsecurity=False).digest().hex(":")


def read_file(path: str, what: str, *, hint: str) -> bytes:
    """A whole file of the configuration. Raises :class:`ConfigError` that names ``what`` and the path."""
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST + 1)
    except OSError as exc:
        reason = {FileNotFoundError: "does not exist", PermissionError: "may not be read"}.get(type(exc))
        raise ConfigError(f"{what} {path} {reason or f'cannot be read: {exc.strerror}'}", hint=hint) from exc
    if len(content) > _MOST:
        raise ConfigError(f"{what} {path} is larger than any of its kind", hint=hint)
    return content

"""What MariaDB's plugins store of a password, and how a client proves that it knows it.

A change sends what is stored, so that the password is in none of the server's logs.

* ``mysql_native_password``: ``*`` and the SHA-1 of the SHA-1, in hexadecimal digits.
* ``ed25519``: the public key whose secret scalar is the clamped first half of the password's SHA-512, in base64
  without padding. https://mariadb.com/kb/en/authentication-plugin-ed25519/
* ``parsec`` (from 11.6): ``P``, the iterations, the salt, and the public key of the Ed25519 key that PBKDF2
  derives. https://mariadb.com/kb/en/authentication-plugin-parsec/
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keepstep.secret import Secret

_SALT = 18
"""Bytes of parsec's salt."""
_ROUNDS = 0
"""parsec iterates 1024 << this often; 0 is the plugin's own choice."""


def native(password: Secret) -> str:
    inner = hashlib.sha1(password.reveal_bytes(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()


def ed25519(password: Secret) -> str:
    from nacl.bindings import crypto_scalarmult_ed25519_base

    seed = hashlib.sha512(password.reveal_bytes()).digest()[:32]
    return base64.b64encode(crypto_scalarmult_ed25519_base(seed)).decode().rstrip("=")


def parsec(password: Secret) -> str:
    salt = secrets.token_bytes(_SALT)
    key = _parsec_key(password.reveal_bytes(), salt, _ROUNDS).public_key().public_bytes_raw()
    return f"P{_ROUNDS}:{base64.b64encode(salt).decode()}:{base64.b64encode(key).decode().rstrip('=')}"


STORED: dict[str, Callable[[Secret], str]] = {
    "mysql_native_password": native,
    "ed25519": ed25519,
    "parsec": parsec,
}
"""The plugins whose passwords can be changed, and what they store."""


class ParsecClient:
    """PyMySQL's way to speak a plugin that it does not know."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def authenticate(self, packet: Any) -> Any:
        """The server's 32 bytes, then its salt, are answered with 32 of the client's and a signature of both."""
        challenge = bytes(packet.read_all())[:32]
        self._connection.write_packet(b"")
        salted = bytes(self._connection._read_packet().get_all_data())
        salted = salted[1:] if salted[:1] == b"\x01" else salted
        if salted[:1] != b"P" or len(salted) < 2 + _SALT or salted[1] > 10:
            raise ValueError("the server's parsec salt has another form")
        key = _parsec_key(self._connection.password, salted[2 : 2 + _SALT], salted[1])
        nonce = secrets.token_bytes(32)
        self._connection.write_packet(nonce + key.sign(challenge + nonce))
        answer = self._connection._read_packet()
        answer.check_error()
        return answer


def _parsec_key(password: bytes, salt: bytes, rounds: int) -> Ed25519PrivateKey:
    seed = hashlib.pbkdf2_hmac("sha512", password, salt, 1024 << rounds, 32)
    return Ed25519PrivateKey.from_private_bytes(seed)

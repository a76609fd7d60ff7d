"""What MySQL and MariaDB store of a password, compared with one: whether a login would fail is known without it.

* ``mysql_native_password``: ``*`` and SHA-1 of the SHA-1 in hex
  (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_authentication_methods_native_password_authentication.html)
* ``caching_sha2_password``: ``$A$005$``, 20 bytes of salt and 43 characters of SHA-crypt with 5 * 1000 rounds
  (sql/auth/sha2_password.cc; https://www.akkadia.org/drepper/SHA-crypt.txt)
* ``sha256_password``: ``$5$``, the salt, ``$`` and the same with 5000 rounds
"""

from __future__ import annotations

import hashlib
import hmac
import re

from keepstep.databases.interface import PasswordSlot
from keepstep.secret import Secret

MYSQL_VERIFIERS = "SELECT plugin, authentication_string, {second} FROM mysql.user WHERE User = %s"
MYSQL_SECOND = "JSON_UNQUOTE(JSON_EXTRACT(User_attributes, '$.additional_password'))"
MARIADB_VERIFIERS = (
    "SELECT JSON_VALUE(Priv, '$.plugin'), JSON_VALUE(Priv, '$.authentication_string'), NULL FROM mysql.global_priv"
    " WHERE User = %s AND JSON_VALUE(Priv, '$.is_role') IS NULL"
)
_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CACHING = re.compile(r"\$A\$([0-9A-Fa-f]{3})\$(.{20})([./0-9A-Za-z]{43})", re.DOTALL)
_SHA256 = re.compile(r"\$5\$([^$]{1,20})\$([./0-9A-Za-z]{43})", re.DOTALL)
_ORDER = (
    *((0, 10, 20), (21, 1, 11), (12, 22, 2), (3, 13, 23), (24, 4, 14)),
    *((15, 25, 5), (6, 16, 26), (27, 7, 17), (18, 28, 8), (9, 19, 29)),
)
"""In which order SHA-crypt writes the digest's bytes, three to four characters."""
_MOST = 100_000
"""Rounds that are worth computing here."""


def slot_among(password: Secret, plugin: str, newest: object, second: object) -> PasswordSlot | None:
    """Which of an account's passwords it is; None where the plugin or the form is not known."""
    if not isinstance(newest, str | bytes):
        return None
    is_newest = _matches(password, plugin, newest)
    is_second = isinstance(second, str | bytes) and _matches(password, plugin, second)
    if is_newest is None or is_second is None:
        return None
    if is_newest:
        return PasswordSlot.NEWEST
    return PasswordSlot.SECOND if is_second else PasswordSlot.NEITHER


def _matches(password: Secret, plugin: str, verifier: str | bytes) -> bool | None:
    text = verifier if isinstance(verifier, str) else verifier.decode("latin-1")
    secret = password.reveal_bytes()
    if plugin == "mysql_native_password":
        inner = hashlib.sha1(secret, usedforsecurity=False).digest()
        known = "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()
        return hmac.compare_digest(known.encode(), text.upper().encode()) if text.startswith("*") else None
    if plugin == "caching_sha2_password" and (found := _CACHING.fullmatch(text)):
        rounds, salt, digest = int(found[1], 16) * 1000, found[2], found[3]
    elif plugin == "sha256_password" and (found := _SHA256.fullmatch(text)):
        rounds, salt, digest = 5000, found[1], found[2]
    else:
        return None
    if not 1000 <= rounds <= _MOST:
        return None
    return hmac.compare_digest(sha_crypt(secret, salt.encode("latin-1"), rounds), digest)


def sha_crypt(password: bytes, salt: bytes, rounds: int) -> str:
    """The 43 characters of SHA-crypt with SHA-256; the salt is taken as it is, however long."""
    other = hashlib.sha256(password + salt + password).digest()
    first = hashlib.sha256(password + salt + _repeated(other, len(password)))
    number = len(password)
    while number:
        first.update(other if number & 1 else password)
        number >>= 1
    digest = first.digest()
    p = _repeated(hashlib.sha256(password * len(password)).digest(), len(password))
    s = _repeated(hashlib.sha256(salt * (16 + digest[0])).digest(), len(salt))
    for each in range(rounds):
        inner = hashlib.sha256(p if each & 1 else digest)
        if each % 3:
            inner.update(s)
        if each % 7:
            inner.update(p)
        inner.update(digest if each & 1 else p)
        digest = inner.digest()
    text = "".join(_in_characters(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _ORDER)
    return text + _in_characters(digest[31] << 8 | digest[30], 3)


def _repeated(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _in_characters(number: int, count: int) -> str:
    return "".join(_ALPHABET[number >> 6 * each & 63] for each in range(count))

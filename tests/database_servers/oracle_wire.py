"""Oracle Net's packets and the messages in them, as far as a login, a query of text and DDL need them.

Source: the thin mode of python-oracledb (src/oracledb/impl/thin), the other side of this conversation.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

CONNECT, ACCEPT, REFUSE, DATA, MARKER = 1, 2, 4, 6, 12
PROTOCOL, DATA_TYPES, FUNCTION, ERROR, ROW_HEADER, ROW_DATA, PARAMETERS, STATUS = 1, 2, 3, 4, 6, 7, 8, 9
DESCRIBE, PIGGYBACK = 16, 17
AUTH_ONE, AUTH_TWO, EXECUTE, PING, COMMIT, ROLLBACK, LOGOFF, CLOSE_CURSORS = 118, 115, 94, 147, 14, 15, 9, 105
NO_MORE_ROWS = 1403

_VERIFIER_12C = 0x4815
_ROUNDS, _SESSION_ROUNDS = 64, 3
"""Oracle takes 4096 for the first; the client does what it is told."""


class Reader:
    """Takes a message apart."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def raw(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def byte(self) -> int:
        return self.raw(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.raw(self.byte()), "big")

    def counted(self) -> bytes:
        """Bytes behind their length; long ones come in chunks."""
        size = self.byte()
        if size != 254:
            return self.raw(size)
        parts = b""
        while chunk := self.number():
            parts += self.raw(chunk)
        return parts

    def twice_counted(self) -> bytes:
        return self.counted() if self.number() else b""

    def pairs(self, count: int) -> dict[str, str]:
        found = {}
        for _ in range(count):
            key, value = self.twice_counted().decode(), self.twice_counted().decode()
            self.number()
            found[key] = value
        return found


def number(value: int) -> bytes:
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([len(raw)]) + raw


def counted(data: bytes) -> bytes:
    if len(data) < 254:
        return bytes([len(data)]) + data
    return b"\xfe" + number(len(data)) + data + number(0)


def twice_counted(data: bytes) -> bytes:
    return number(len(data)) + counted(data) if data else number(0)


def packet(kind: int, body: bytes, *, is_large: bool = True) -> bytes:
    size = len(body) + 8
    length = size.to_bytes(4, "big") if is_large else size.to_bytes(2, "big") + bytes(2)
    return length + bytes([kind, 0, 0, 0]) + body


def accept() -> bytes:
    body = (318).to_bytes(2, "big") + bytes(2 + 10 + 1 + 9) + (8192).to_bytes(4, "big") + bytes(5 + 4)
    return packet(ACCEPT, body, is_large=False)


def refuse(number_: int) -> bytes:
    words = f"(DESCRIPTION=(ERR={number_}))".encode()
    return packet(REFUSE, bytes(2) + len(words).to_bytes(2, "big") + words, is_large=False)


def protocol() -> bytes:
    capabilities = bytearray(48)
    capabilities[7] = 12  # the wire of 19c
    fdo = bytes(9) + (2000).to_bytes(2, "big")
    head = bytes([PROTOCOL, 6, 0]) + b"Oracle fake\0" + (873).to_bytes(2, "little") + bytes(1 + 2)
    return head + len(fdo).to_bytes(2, "big") + fdo + counted(bytes(capabilities)) + counted(bytes(11))


def data_types() -> bytes:
    return bytes([DATA_TYPES, 0, 0])


def parameters(values: dict[str, tuple[str, int]]) -> bytes:
    items = [
        twice_counted(key.encode()) + twice_counted(value.encode()) + number(flags)
        for key, (value, flags) in values.items()
    ]
    return bytes([PARAMETERS]) + number(len(items)) + b"".join(items) + status()


def status() -> bytes:
    return bytes([STATUS]) + number(0) + number(0)


def error(code: int, words: str = "", *, rows: int = 0) -> bytes:
    """Every answer to a statement ends in one; code 0 is success."""
    head = number(0) * 3 + number(code) + number(0) * 4 + bytes(6)
    row_id = number(0) * 2 + bytes(1) + number(0) * 2
    rest = number(0) + bytes(2) + number(0) * 2 + number(0) + number(0) * 3 + number(code) + number(rows)
    text = counted(words.encode()) if code else b""
    return bytes([ERROR]) + head + row_id + rest + text


def table(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> bytes:
    """Text in rows and columns."""
    shape = b"".join(_column(name, position) for position, name in enumerate(columns, 1))
    describe = bytes([DESCRIBE, 0]) + number(4000) + number(len(columns)) + b"\1" + shape + number(0) * 6
    header = bytes([ROW_HEADER, 0]) + number(0) * 6
    cells = [bytes([ROW_DATA]) + b"".join(counted((cell or "").encode()) for cell in row) for row in rows]
    return describe + (header if rows else b"") + b"".join(cells) + error(NO_MORE_ROWS, "no data", rows=len(rows))


def _column(name: str, position: int) -> bytes:
    varchar = bytes([1, 0, 0, 0]) + number(4000) + number(0) * 3 + number(0) + number(873) + bytes([1])
    names = twice_counted(name.encode()) + number(0) * 2
    return varchar + number(4000) + number(0) + bytes([1, 0]) + names + number(position) + number(0)


class Challenge:
    """One login's half of O5LOGON with a 12c verifier.

    The session key that goes out is random, and means something else under every password: so the server can try
    all those that may log in, where Oracle looks up the verifier.
    """

    def __init__(self) -> None:
        self._salt, self._session_salt = secrets.token_bytes(16), secrets.token_bytes(16)
        self._key = secrets.token_bytes(32)

    def parameters(self) -> bytes:
        return parameters(
            {
                "AUTH_SESSKEY": (self._key.hex().upper(), 0),
                "AUTH_VFR_DATA": (self._salt.hex().upper(), _VERIFIER_12C),
                "AUTH_PBKDF2_CSK_SALT": (self._session_salt.hex().upper(), 0),
                "AUTH_PBKDF2_VGEN_COUNT": (str(_ROUNDS), 0),
                "AUTH_PBKDF2_SDER_COUNT": (str(_SESSION_ROUNDS), 0),
            }
        )

    def session_key(self, password: str, sent: dict[str, str]) -> bytes | None:
        """The key of the session, when this is the password that the client has."""
        stretched = _derive(password.encode(), self._salt + b"AUTH_PBKDF2_SPEEDY_KEY", 64, _ROUNDS)
        hashed = hashlib.sha512(stretched + self._salt).digest()[:32]
        ours, theirs = decrypt(hashed, self._key), decrypt(hashed, bytes.fromhex(sent["AUTH_SESSKEY"]))
        key = _derive((theirs + ours).hex().upper().encode(), self._session_salt, 32, _SESSION_ROUNDS)
        return key if password_in(key, sent["AUTH_PASSWORD"]) == password else None


def password_in(key: bytes, encrypted: str) -> str | None:
    """The password behind 16 bytes of salt."""
    plain = decrypt(key, bytes.fromhex(encrypted))
    try:
        return plain[16 : -plain[-1]].decode()
    except UnicodeDecodeError:
        return None


def decrypt(key: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CBC(bytes(16))).decryptor().update(data)


def encrypt(key: bytes, data: bytes) -> bytes:
    """Whole blocks."""
    return Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor().update(data)


def _derive(secret: bytes, salt: bytes, size: int, rounds: int) -> bytes:
    return PBKDF2HMAC(hashes.SHA512(), size, salt, rounds).derive(secret)

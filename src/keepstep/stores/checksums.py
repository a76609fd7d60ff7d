"""Checksums that a store keeps with an object, by S3's names for them.

Source: "Checking object integrity in Amazon S3"; values are base64 of the big-endian digest.
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import find_spec
from typing import Any, Protocol

from keepstep.clouds.http import Buffer
from keepstep.errors import ConfigError

Compute = Callable[[Buffer], str]

ALGORITHMS = ("CRC64NVME", "CRC32", "SHA256", "SHA1", "CRC32C", "SHA512", "XXHASH64", "XXHASH3", "XXHASH128")
_XXHASH = {"XXHASH64": "new_xxhash64", "XXHASH3": "new_xxhash3_64", "XXHASH128": "new_xxhash3_128"}


CRCS = {"CRC64NVME": (64, 0x9A6C9329AC4BC9B5), "CRC32": (32, 0xEDB88320), "CRC32C": (32, 0x82F63B78)}
"""Bits and reversed polynomial of those whose pieces can be combined, so that any order of them will do."""
MIB = 1024 * 1024
_USUAL = tuple(
    MIB * n
    for n in (5, 6, 7, 8, 10, 12, 15, 16, 20, 24, 25, 32, 40, 48, 50, 64, 80, 96, 100, 128, 200, 256, 512, 1024)
)
"""Bytes of a part, as the clients of S3 and OCI have it by default or as people set it."""


INLINE = 64 * 1024
"""Bytes that are digested on the spot; a thread would cost more."""
_INLINE_CRC = 1024 * 1024
_LOADING = 32 * 1024 * 1024
"""Bytes whose MD5 costs as much as it does to load the library of the fastest CRCs."""


class Hasher(Protocol):
    """One checksum of contents that come piece by piece."""

    def update(self, data: Buffer, /) -> object: ...

    def digest(self) -> bytes: ...


def checksum(algorithm: str) -> Compute:
    """The function that computes it. Raises :class:`ConfigError` when it needs a library that is not installed."""
    running = hasher(algorithm)
    if isinstance(running, _Crc):
        return running.of

    def compute(data: Buffer) -> str:
        running = hasher(algorithm)
        running.update(data)
        return text_of(running)

    return compute


def hasher(algorithm: str) -> Hasher:
    """A new one; also of ``MD5``. Raises :class:`ConfigError` when it needs a library that is not installed."""
    match algorithm:
        case "CRC32":
            return _Crc(zlib.crc32, 4)
        case "MD5":
            return hashlib.md5(usedforsecurity=False)
        case "SHA1" | "SHA256" | "SHA512":
            return hashlib.new(algorithm, usedforsecurity=False)
        case "CRC32C":
            return _Crc(_crt(algorithm).crc32c, 4)
        case "CRC64NVME":
            return _Crc(_crt(algorithm).crc64nvme, 8)
        case _:
            return _XxHash(getattr(_crt(algorithm).XXHash, _XXHASH[algorithm])())


def inline(algorithm: str) -> int:
    """Bytes that are digested on the spot: a thread costs more than a CRC of a megabyte."""
    return _INLINE_CRC if algorithm in CRCS else INLINE


def is_at_hand(algorithm: str) -> bool:
    """Whether it can be computed without loading a library for it."""
    return algorithm not in ("CRC64NVME", "CRC32C") or "awscrt.checksums" in sys.modules


@cache
def has_crt() -> bool:
    """Whether the library of the fastest CRCs is installed."""
    return find_spec("awscrt") is not None


class Patience:
    """How long a dear digest is put up with before a library is loaded for a cheaper one."""

    def __init__(self) -> None:
        self._left = _LOADING

    def lasts(self, size: int) -> bool:
        """Whether it still pays to digest ``size`` more bytes the dear way; counts them if so."""
        if self._left < size:
            return False
        self._left -= size
        return True


def text_of(hasher: Hasher) -> str:
    """The value as stores write it."""
    return b64encode(hasher.digest()).decode()


class _Crc:
    def __init__(self, function: Callable[[Buffer, int], int], length: int) -> None:
        self._function = function
        self._length = length
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._length, "big")

    def of(self, data: Buffer) -> str:
        """Of these bytes alone, as stores write it."""
        return b64encode(self._function(data, 0).to_bytes(self._length, "big")).decode()


def combined(algorithm: str, pieces: Iterable[tuple[int, int]]) -> int:
    """The CRC of consecutive pieces, each given by its CRC and its length in bytes (zlib's crc32_combine)."""
    bits, polynomial = CRCS[algorithm]
    value = 0
    for crc, length in pieces:
        value = _product(bits, polynomial, _shift(bits, polynomial, length), value) ^ crc
    return value


def _product(bits: int, polynomial: int, a: int, b: int) -> int:
    """Of two polynomials modulo a third one; the highest bit is the coefficient of 1."""
    top, product = 1 << (bits - 1), 0
    while a:
        if a & top:
            product ^= b
        a = (a << 1) & ((top << 1) - 1)
        b = (b >> 1) ^ polynomial if b & 1 else b >> 1
    return product


@cache
def _square(bits: int, polynomial: int, number: int) -> int:
    """The polynomial x to the power of two to the power of ``number``."""
    if not number:
        return 1 << (bits - 2)
    half = _square(bits, polynomial, number - 1)
    return _product(bits, polynomial, half, half)


@cache
def _shift(bits: int, polynomial: int, length: int) -> int:
    """What a CRC is multiplied with when ``length`` bytes follow."""
    factor, number = 1 << (bits - 1), 3
    while length:
        if length & 1:
            factor = _product(bits, polynomial, _square(bits, polynomial, number), factor)
        length, number = length >> 1, number + 1
    return factor


class PartsDigest:
    """The digest of the digests of an object's parts, as S3 and OCI keep it of what came in parts of ``part_size``.

    The ETag of such an object is that of MD5 ("Checking object integrity in Amazon S3").
    """

    def __init__(self, part_size: int, algorithm: str = "MD5") -> None:
        self._algorithm = algorithm
        self._part_size = self._left = part_size
        self._part = hasher(algorithm)
        self._digests: list[bytes] = []

    def update(self, data: Buffer, /) -> None:
        view = memoryview(data)
        while view:
            piece, view = view[: self._left], view[self._left :]
            self._part.update(piece)
            self._left -= len(piece)
            if not self._left:
                self._digests.append(self._part.digest())
                self._part, self._left = hasher(self._algorithm), self._part_size

    def digest(self) -> bytes:
        last = [self._part.digest()] if self._left < self._part_size else []
        whole = hasher(self._algorithm)
        whole.update(b"".join([*self._digests, *last]))
        return whole.digest()


def part_sizes(size: int, count: int, *ours: int) -> list[int]:
    """Bytes of a part: which of the usual sizes, ``ours`` among them, make ``count`` parts of ``size`` bytes."""
    least = -(-size // count)
    rounded = -(-least // MIB) * MIB
    candidates = {*_USUAL, *ours, least, rounded} if count > 1 else {least}
    return sorted(each for each in candidates if each and -(-size // each) == count)


def likely_part_sizes(size: int, count: int) -> tuple[int, ...]:
    """As :func:`part_sizes`, without sizes that nobody chooses where there are others: each costs a digest more."""
    found = part_sizes(size, count)
    return tuple(each for each in found if each % MIB == 0) or tuple(found)


class _XxHash:
    def __init__(self, running: Any) -> None:
        self._running = running

    def update(self, data: Buffer, /) -> None:
        self._running.update(bytes(data))  # the library takes nothing that can be written to

    def digest(self) -> bytes:
        return bytes(self._running.finalize())


def _crt(algorithm: str) -> Any:
    try:
        from awscrt import checksums
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"the checksum {algorithm} needs the library awscrt, which is not installed",
            hint="pip install 'keepstep[checksums]'; CRC32, SHA1, SHA256 and SHA512 need nothing",
        ) from exc
    return checksums

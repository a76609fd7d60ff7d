"""The ``s3 =`` block of a profile in ``~/.aws/config``, as far as it says how objects travel.

Source: https://docs.aws.amazon.com/cli/latest/topic/s3-config.html. What it says of addresses
(``addressing_style``, ``use_accelerate_endpoint``, ``use_dualstack_endpoint``) is read in
:mod:`keepstep.clouds.aws_config`; ``payload_signing_enabled`` is always on here; ``max_queue_size`` and what is
said to the CRT client (``preferred_transfer_client``, ``target_bandwidth``) has no meaning here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from keepstep.errors import ConfigError

_SIZE = re.compile(r"(\d{1,18})\s*(?:([kmgt])i?b)?", re.IGNORECASE | re.ASCII)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class S3Block:
    """None where the block says nothing."""

    max_concurrent_requests: int | None = None
    multipart_threshold: int | None = None
    """Bytes."""
    multipart_chunksize: int | None = None
    """Bytes."""
    max_bandwidth: int | None = None
    """Bytes a second."""


def s3_block(written: Mapping[str, str]) -> S3Block:
    """Raises :class:`ConfigError` that names the setting."""
    rate = written.get("max_bandwidth")
    return S3Block(
        max_concurrent_requests=_natural("max_concurrent_requests", written),
        multipart_threshold=_natural("multipart_threshold", written),
        multipart_chunksize=_natural("multipart_chunksize", written),
        max_bandwidth=_rate(rate) if rate else None,
    )


def size_of(text: str) -> int:
    """Bytes: ``8MB`` and ``8MiB`` are 8 * 1024 * 1024, as for the AWS CLI. Raises ``ValueError``."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a size")
    power = _POWERS.get((found[2] or "").lower(), 0)
    return int(found[1]) * int(1024**power)


def _rate(text: str) -> int:
    """Bytes a second; what is not a plain number ends in ``B/s``."""
    try:
        rate = size_of(text.removesuffix("/s")) if text.isdecimal() or text.endswith("B/s") else 0
    except ValueError:
        rate = 0
    if rate <= 0:
        raise _wrong("max_bandwidth", text, "write it as bytes a second: 50MB/s")
    return rate


def _natural(name: str, written: Mapping[str, str]) -> int | None:
    text = written.get(name)
    if not text:
        return None
    try:
        size = size_of(text)
    except ValueError:
        size = 0
    if size <= 0:
        raise _wrong(name, text, "write a positive number, or a size such as 64MB")
    return size


def _wrong(name: str, text: str, hint: str) -> ConfigError:
    return ConfigError(f"s3 = {name} = {text} in the AWS profile is not understood", hint=hint)

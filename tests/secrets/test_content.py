"""From a vault's bytes to a file's."""

from __future__ import annotations

import base64
import json

import pytest

from keepstep.errors import ConfigError
from keepstep.secret import Secret
from keepstep.secrets.content import Whole
from keepstep.secrets.delivery import Values
from keepstep.vaults.address import parse
from keepstep.vaults.interface import SecretValue, Version, VersionId


def values(content: bytes, name: str = "x") -> Values:
    return {("aws-sm", name): SecretValue(Version(id=VersionId("1")), Secret(content))}


def whole(content: bytes, address: str = "aws-sm:x", encoding: str = "raw") -> bytes:
    return Whole(parse(address), encoding).render(values(content))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\0\1\2", b"x" * 65536, bytes(range(256))])
def test_bytes_are_bytes(content: bytes) -> None:
    """A secret without field or encoding arrives as it is."""
    assert whole(content) == content


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("p\u00e4ss\n", "p\u00e4ss\n"),
        (5432, "5432"),
        (1.5, "1.5"),
        (True, "true"),
        ({"a": [1, "\u00e9"]}, '{"a":[1,"\u00e9"]}'),
    ],
)
def test_fields(value: object, text: str) -> None:
    """Text comes without quotes, everything else as JSON writes it."""
    assert whole(json.dumps({"f": value, "g": 1}).encode(), "aws-sm:x#f") == text.encode()


@pytest.mark.parametrize(
    ("written", "delivered"),
    [
        ("1.10", "1.10"),
        ("1e3", "1e3"),
        ("-0", "-0"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("1e999", "1e999"),
        ('{"a": 1.50, "b": [1E2, true, null]}', '{"a":1.50,"b":[1E2,true,null]}'),
    ],
)
def test_numbers_are_delivered_as_they_are_written(written: str, delivered: str) -> None:
    """A number is never rounded or written in another way, also inside of an object."""
    assert whole(f'{{"f": {written}}}'.encode(), "aws-sm:x#f") == delivered.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"plain S3cr3t",
        b'["S3cr3t"]',
        b'{"g": "S3cr3t"}',
        b"\xff S3cr3t",
        b'"S3cr3t"',
        b'{"f": null, "g": "S3cr3t"}',
        b'{"f": NaN, "g": "S3cr3t"}',
        b'{"f": "S3cr3t \\ud800"}',
        b'{"g": "S3cr3t", "f": ' + b"9" * 5000 + b"}",
        b'{"g": "S3cr3t", "f": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"g": "S3cr3t", "f": ' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
def test_no_such_field(content: bytes) -> None:
    """What has no such field, or none that is text, is an error that names the address and shows no secret."""
    with pytest.raises(ConfigError, match="aws-sm:x#f") as refusal:
        whole(content, "aws-sm:x#f")
    assert "S3cr3t" not in f"{refusal.value}{refusal.value.hint}{refusal.value.__cause__!r}"


def test_encodings() -> None:
    """Text that stands for bytes is decoded; line breaks in base64 do not matter."""
    data = bytes(range(256))
    assert whole(base64.encodebytes(data), encoding="base64") == data
    assert whole(data.hex().encode() + b"\n", encoding="hex") == data


@pytest.mark.parametrize("encoding", ["base64", "hex"])
def test_a_wrong_encoding_shows_nothing(encoding: str) -> None:
    """A secret that is not encoded as it should be is an error without the secret."""
    with pytest.raises(ConfigError, match=f"is not {encoding}") as refusal:
        whole(b"S3cr3t!", encoding=encoding)
    assert "S3cr3t" not in f"{refusal.value}{refusal.value.__cause__!r}"
    assert refusal.value.__suppress_context__

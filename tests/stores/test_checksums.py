"""Checksums: those that botocore computes for S3, whatever kind of buffer they are of."""

from __future__ import annotations

import sys
from typing import Any

import botocore.httpchecksum
import pytest

from keepstep.errors import ConfigError
from keepstep.stores.checksums import ALGORITHMS, checksum

DATA = b"123456789" * 1000


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_same_as_botocore(algorithm: str, kind: type) -> None:
    """Every algorithm gives the value that the AWS CLI would send."""
    classes: Any = vars(botocore.httpchecksum)["_CHECKSUM_CLS"]
    expected = classes[algorithm.lower()]()
    expected.update(DATA)
    assert checksum(algorithm)(kind(DATA)) == expected.b64digest()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without awscrt the other algorithms work, and the error says what to install."""
    monkeypatch.setitem(sys.modules, "awscrt", None)
    assert checksum("CRC32")(b"123456789") == "y/Q5Jg=="
    with pytest.raises(ConfigError, match="awscrt") as caught:
        checksum("CRC64NVME")
    assert "keepstep[checksums]" in str(caught.value.hint)

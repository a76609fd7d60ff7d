"""Checksums: those that botocore computes for S3, whatever kind of buffer they are of."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from typing import Any

import botocore.httpchecksum
import pytest

from keepstep.errors import ConfigError
from keepstep.stores.checksums import ALGORITHMS, MIB, Patience, checksum
from tests.servers import Aws

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


def test_a_library_is_loaded_when_md5s_have_cost_as_much() -> None:
    """Few bytes are hashed with what is at hand; a run of many loads what is cheaper."""
    patience = Patience()
    assert all(patience.lasts(MIB) for _ in range(32))
    assert not patience.lasts(1)
    assert not Patience().lasts(33 * MIB)


SCRIPT = """
import asyncio, sys
from keepstep.cli.running import run
from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.aws_chain import AwsSettings
from keepstep.stores.address import Address
from keepstep.stores.s3 import S3Store
from keepstep.stores.s3_client import S3Client

async def main():
    store = S3Store(Address("s3", bucket=sys.argv[1]), S3Client(sys.argv[1], AwsIdentity(AwsSettings())))
    async for page in store.list():
        for number in range(len(page)):
            for _ in range(33):
                source = await store.open(page.entry(number), 2**20)
                await source.close()
                print("awscrt.checksums" in sys.modules)
    await store.close()

run(main())
"""


def test_a_small_download_loads_nothing(moto: Aws) -> None:
    """A CRC64NVME is stored, and so is the MD5: it is used until loading the library for the other would pay."""
    bucket, client = f"loading-{uuid.uuid4().hex[:10]}", moto.client("s3")
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="key", Body=bytes(MIB), ChecksumAlgorithm="CRC64NVME")
    command = [sys.executable, "-c", SCRIPT, bucket]
    done = subprocess.run(command, env={**os.environ, **moto.env}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"] * 32 + ["True"]

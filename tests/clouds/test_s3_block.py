"""The ``s3 =`` block: read as the AWS CLI reads it."""

from __future__ import annotations

import pytest

from keepstep.clouds.s3_block import S3Block, s3_block, size_of
from keepstep.errors import ConfigError

SIZES = ("8MB", "8MiB", "1gb", "64KB", "5368709120", "2TiB", "1Kib")


@pytest.mark.parametrize("text", SIZES)
def test_sizes_are_the_aws_clis(text: str) -> None:
    """Every size that the AWS CLI understands means the same number of bytes."""
    from awscli.customizations.s3.utils import human_readable_to_bytes  # type: ignore[import-untyped]

    assert size_of(text) == human_readable_to_bytes(text)


def test_a_block() -> None:
    """Numbers, sizes and rates; what the block does not say stays open."""
    written = {"max_concurrent_requests": "20", "multipart_threshold": "64MB", "max_bandwidth": "50MB/s"}
    assert s3_block(written) == S3Block(20, 64 << 20, None, 50 << 20)
    assert s3_block({"addressing_style": "path"}) == S3Block()
    assert s3_block({"max_bandwidth": "1000"}).max_bandwidth == 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("multipart_threshold", "lots"),
        ("multipart_chunksize", "-1"),
        ("max_concurrent_requests", "0"),
        ("max_bandwidth", "5MB"),
        ("max_bandwidth", "fast B/s"),
    ],
)
def test_mistakes_are_named(name: str, value: str) -> None:
    """A value that means nothing is an error with the setting's name."""
    with pytest.raises(ConfigError, match=f"{name} = {value}"):
        s3_block({name: value})

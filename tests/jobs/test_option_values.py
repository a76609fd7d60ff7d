"""Values of options, read as the AWS CLI reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.jobs.option_values import Expires, Grants, Key, Metadata, Rate, Text
from keepstep.secret import Secret

NAMES = st.text("abcXYZ019-_.", min_size=1, max_size=6)
PLAIN = st.text("abc =:/()-", min_size=0, max_size=8)
QUOTED = st.text("abc ,=\"'", max_size=8)


def read(kind: click.ParamType[Any], text: str) -> Any:
    return kind.convert(text, None, None)


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.one_of(PLAIN, QUOTED.map(repr)), min_size=1, max_size=4))
def test_metadata_is_read_as_the_aws_cli_reads_it(pairs: dict[str, str]) -> None:
    """What the AWS CLI's own parser takes for a map of strings is read the same."""
    from awscli.shorthand import ShorthandParseError, ShorthandParser  # type: ignore[import-untyped]

    text = ",".join(f"{name}={value}" for name, value in pairs.items())
    try:
        theirs = ShorthandParser().parse(text)
    except ShorthandParseError:
        return
    if not all(isinstance(value, str) and value.isprintable() for value in theirs.values()) or "" in theirs:
        return
    lower = {name.lower(): value for name, value in theirs.items()}
    assert dict(read(Metadata(), text)) == lower


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a=1", (("a", "1"),)),
        ("A=1 , b = 2", (("a", "1"), ("b", "2"))),
        (r"a=1\,2,b=", (("a", "1,2"), ("b", ""))),
        ("a='x, y',b=\"z\"", (("a", "x, y"), ("b", "z"))),
        ('{"A": "1", "b-c": "d,e"}', (("a", "1"), ("b-c", "d,e"))),
        ("{}", ()),
    ],
)
def test_metadata(text: str, pairs: tuple[tuple[str, str], ...]) -> None:
    """Pairs, quotes, escapes and JSON."""
    assert read(Metadata(), text) == pairs


@pytest.mark.parametrize("text", ["a", "a=1,a=2", '{"a": 1}', "{", "ä=1", "a=ä", "a b=1", "a=\x01", "=1"])
def test_what_is_no_metadata(text: str) -> None:
    """What no header can carry, or is no map, is refused."""
    with pytest.raises(click.BadParameter):
        read(Metadata(), text)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("2030-06-01T12:00:00Z", "Sat, 01 Jun 2030 12:00:00 GMT"),
        ("2030-06-01T12:00:00+02:00", "Sat, 01 Jun 2030 10:00:00 GMT"),
        ("1906545600", "Sat, 01 Jun 2030 12:00:00 GMT"),
        ("Sat, 01 Jun 2030 12:00:00 GMT", "Sat, 01 Jun 2030 12:00:00 GMT"),
    ],
)
def test_moments(text: str, header: str) -> None:
    """A moment in any of the AWS CLI's forms becomes the header's form."""
    assert read(Expires(), text) == header


def test_keys_come_from_files_or_as_they_are(tmp_path: Path) -> None:
    """A key has 32 bytes, of any kind, and is a secret from then on; a wrong one is refused without its bytes."""
    (tmp_path / "key").write_bytes(bytes(range(32)))
    assert read(Key(), f"fileb://{tmp_path}/key") == Secret(bytes(range(32)))
    assert read(Key(), "k" * 32) == Secret("k" * 32)
    for wrong in ("too-short", f"file://{tmp_path}/none"):
        with pytest.raises(click.BadParameter) as caught:
            read(Key(), wrong)
        assert "too-short" not in str(caught.value)


def test_text_from_a_file(tmp_path: Path) -> None:
    """``file://`` is replaced by what the file holds; other addresses are text."""
    (tmp_path / "value").write_text("no-store")
    assert read(Text(), f"file://{tmp_path}/value") == "no-store"
    assert read(Text(), "https://example.com/x") == "https://example.com/x"


def test_grants_and_rates() -> None:
    """A permission and its grantees; bytes a second in the units that people write."""
    assert read(Grants(), "read=id=1,uri=x") == ("read", "id=1,uri=x")
    rates = {"100": 100, "1KB/s": 1024, "50MiB/s": 50 << 20, "2GB": 2 << 30}
    assert {text: read(Rate(), text) for text in rates} == rates

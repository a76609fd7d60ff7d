"""Entries: one way to write them, and a signature over all of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.audit.entry import GENESIS, AuditEntry, AuditKey, canonical, is_signed_by, read, sign
from keepstep.errors import Corrupt
from tests.audit.worlds import key_of

KEY = key_of("a key")
whole = st.integers(-(2**53) + 1, 2**53 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | whole | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
tables = st.dictionaries(text, values, max_size=5)


def entry(facts: dict[str, Any], key: AuditKey = KEY) -> AuditEntry:
    now = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
    unsigned = AuditEntry(
        chain="job", sequence=7, previous=GENESIS, time=now, kind="result", facts=facts, nonce="n", key=""
    )
    return sign(unsigned, key)


@settings(max_examples=50, deadline=None)
@given(tables)
def test_what_is_written_is_read(facts: dict[str, Any]) -> None:
    """Reading an entry gives back what was signed, and its signature holds for this key alone."""
    signed = entry(facts)
    again = read(signed.data)
    assert again == signed
    assert again.facts == facts
    assert is_signed_by(again, KEY)
    assert not is_signed_by(again, key_of("another key"))


@settings(max_examples=50, deadline=None)
@given(tables)
def test_the_form_is_canonical(facts: dict[str, Any]) -> None:
    """The same table in another order makes the same bytes, and they are JSON that says the same."""
    backwards = dict(reversed(facts.items()))
    assert canonical(facts) == canonical(backwards)
    assert json.loads(canonical(facts)) == facts


def test_rfc_8785_sorts_by_utf_16() -> None:
    """The example of RFC 8785 section 3.2.3: names are sorted by their UTF-16 code units."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\xf6"]
    ordered = ["\r", "1", "\x80", "\xf6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical(dict.fromkeys(names, 1)))) == ordered


@settings(deadline=None)
@given(tables, st.data())
def test_no_byte_is_free(facts: dict[str, Any], data: st.DataObject) -> None:
    """An entry with any one byte changed is not an entry, or its signature does not hold."""
    whole_entry = bytearray(entry(facts).data)
    at = data.draw(st.integers(0, len(whole_entry) - 1))
    whole_entry[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = read(bytes(whole_entry))
    except Corrupt:
        return
    assert not is_signed_by(changed, KEY)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"format":1}',
        b"[" * 100_000,
        b"9" * 5000,
        entry({}).data + b"\n",
        entry({}).data.replace(b'"sequence":7', b'"sequence":7.0'),
        entry({}).data.replace(b'"sequence":7', b'"sequence":true'),
        entry({}).data.replace(b'"format":1', b'"format":2'),
        entry({}).data.replace(b"+00:00", b"+01:00"),
        entry({}).data.replace(b'"facts":{}', b'"facts":{"x":1.5}'),
        entry({}).data.replace(b'"facts":{}', b'"facts":{"x":1,"x":1}'),
        entry({}).data.replace(b'"facts":{}', b'"facts": {}'),
    ],
)
def test_what_is_no_entry_is_corrupt(data: bytes) -> None:
    """Anything but the canonical bytes of an entry is refused as Corrupt, whatever it is."""
    with pytest.raises(Corrupt):
        read(data)


@pytest.mark.parametrize("value", [1.5, 2**53, b"bytes", {1: 2}, {"x": object()}, "\ud800"])
def test_what_has_no_canonical_form_is_not_written(value: Any) -> None:
    """Fractions, huge numbers, bytes and lone surrogates cannot be signed."""
    with pytest.raises((TypeError, ValueError, AttributeError)):
        canonical({"x": value})


def test_a_key_shows_nothing_of_itself() -> None:
    """Neither the id of a key nor its repr holds the key."""
    secret = "a-very-secret-key"
    key = key_of(secret)
    assert len(key.id) == 16
    assert secret not in f"{key!r} {key.id}"
    assert key.id != key_of(secret + "x").id

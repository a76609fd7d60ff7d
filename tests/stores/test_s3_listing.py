"""Pages of ListObjectsV2: whatever was rendered is read back, and what is not a page is never taken for one."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keepstep.errors import Corrupt, Error, Transient
from keepstep.stores.interface import Entry, Page
from keepstep.stores.s3_listing import parse, read_fast, unescape

examples = settings(deadline=None, derandomize=True, max_examples=150)

xml_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff", min_codepoint=32)
    | st.sampled_from("\t\n<>&\"'+% /")
)
any_text = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n\0<>&\"'+% /"))
times = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda t: t.replace(microsecond=0, tzinfo=UTC))
etags = st.text("0123456789abcdef-", max_size=34)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def entries_of(keys: st.SearchStrategy[str]) -> st.SearchStrategy[list[Entry]]:
    since = times.map(lambda time: (time - EPOCH) // timedelta(microseconds=1))
    return st.lists(
        st.builds(Entry, keys, st.integers(0, 1 << 45), since, etags, st.just(""), st.just("")), max_size=6
    )


def escaped(text: str) -> str:
    """As AWS writes text: what XML's parsers would change is a number."""
    return escape(text, {'"': "&quot;", "'": "&apos;", "\r": "&#13;", "\n": "&#10;", "\t": "&#x9;"})


Render = Callable[..., bytes]


def rendered(
    entries: list[Entry],
    *,
    token: str = "",
    prefix: str = "",
    encode: bool = False,
    quoted: str = "&quot;{}&quot;",
    more: Callable[[int], str] = lambda number: "<StorageClass>STANDARD</StorageClass>",
) -> bytes:
    """A page as AWS renders it (examples of API_ListObjectsV2)."""

    def item(number: int, entry: Entry) -> str:
        name = prefix + entry.key
        key = quote_plus(name, safe="/") if encode else escaped(name)
        time = (EPOCH + timedelta(microseconds=entry.time)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return (
            f"<Contents><Key>{key}</Key><LastModified>{time:0>24}</LastModified>"
            f"<ETag>{quoted.format(entry.etag)}</ETag><Size>{entry.size}</Size>{more(number)}</Contents>"
        )

    following = f"<NextContinuationToken>{escaped(token)}</NextContinuationToken>" if token else ""
    encoding = "<EncodingType>url</EncodingType>" if encode else ""
    shown = quote_plus(prefix, safe="/") if encode else escaped(prefix)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>bucket</Name><Prefix>{shown}</Prefix>{following}<KeyCount>{len(entries)}</KeyCount>"
        f"<MaxKeys>1000</MaxKeys>{encoding}<IsTruncated>{'true' if token else 'false'}</IsTruncated>"
        f"{''.join(item(n, entry) for n, entry in enumerate(entries))}</ListBucketResult>"
    ).encode()


def read(body: bytes, prefix: str = "") -> tuple[list[Entry], str | None]:
    page, token, _ = parse(body, prefix)
    return [page.entry(n) for n in range(len(page))], token


@examples
@given(entries_of(xml_text), xml_text, st.text())
def test_keys_as_text_come_back(entries: list[Entry], prefix: str, token: str) -> None:
    """Every key that XML can hold, with its size, time and ETag, and the token of the next page."""
    assume(prefix or all(entry.key for entry in entries))  # an object without a name there is not
    token = "".join(c for c in token if c.isprintable())
    assert read(rendered(entries, prefix=prefix, token=token), prefix) == (entries, token or None)


@examples
@given(entries_of(any_text), any_text)
def test_keys_url_encoded_come_back(entries: list[Entry], prefix: str) -> None:
    """Every key at all, when it is asked for URL-encoded, as we do."""
    assume(prefix or all(entry.key for entry in entries))
    assert read(rendered(entries, prefix=prefix, encode=True), prefix) == (entries, None)


def test_blanks_and_pluses_are_told_apart() -> None:
    """A blank comes as a plus or as %20, a plus as %2B, and a bare percent sign means itself."""
    body = rendered([Entry("KEY", 1, 0)], encode=True)
    for sent, key in (("a+b", "a b"), ("a%20b", "a b"), ("a%2Bb", "a+b"), ("100%25", "100%"), ("50%", "50%")):
        assert read(body.replace(b"KEY", sent.encode()))[0][0].key == key


# pages that other stores write

NAMESPACE = b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def permuted(body: bytes) -> bytes:
    """Fields in another order, in every object and around them."""
    text = body.decode().replace("<IsTruncated>false</IsTruncated>", "")
    items = text.split("<Contents>")
    for n, item in enumerate(items[1:], 1):
        inner, end, rest = item.partition("</Contents>")
        fields = inner.replace("><", ">\0<").split("\0")
        items[n] = "".join(reversed(_joined(fields))) + end + rest
    return (
        "<Contents>".join(items)
        .replace("</ListBucketResult>", "<IsTruncated>false</IsTruncated></ListBucketResult>")
        .encode()
    )


def _joined(pieces: list[str]) -> list[str]:
    """Puts back together what was an empty element."""
    fields: list[str] = []
    for piece in pieces:
        if piece.startswith("</"):
            fields[-1] += piece
        else:
            fields.append(piece)
    return fields


def pretty(body: bytes) -> bytes:
    return (
        body.replace(b"<Contents>", b"\n  <Contents>\n    ")
        .replace(b"</Size>", b"</Size>\n    ")
        .replace(b"<IsTruncated>false", b"<IsTruncated>\n false ")
    )


def prefixed(body: bytes) -> bytes:
    """Every element in a namespace that has a prefix."""
    body = body.replace(b"<", b"<s3:").replace(b"<s3:/", b"</s3:").replace(b"<s3:?", b"<?")
    return body.replace(NAMESPACE, NAMESPACE.replace(b"xmlns", b"xmlns:s3"))


def as_seaweedfs(body: bytes) -> bytes:
    """The same objects in SeaweedFS's order, with its quotes and whole seconds."""
    item = re.compile(
        rb"<Contents>(<Key>.*?</Key>)(<LastModified>[^.]*).000(Z</LastModified>)(<ETag>.*?</ETag>)"
        rb"(<Size>.*?</Size>)(<StorageClass>.*?</StorageClass>)",
        re.DOTALL,
    )
    return item.sub(rb"<Contents>\1\4\5\6\2\3", body).replace(b"&quot;", b"&#34;")


KNOWN: dict[str, Callable[[bytes], bytes]] = {
    "AWS": lambda body: body,
    "MinIO": lambda body: body.replace(b"&quot;", b"&#34;"),
    "Ceph": lambda body: body.replace(NAMESPACE, b""),
    "SeaweedFS": as_seaweedfs,
}


@pytest.mark.parametrize("store", KNOWN.values(), ids=KNOWN)
def test_pages_of_known_stores_cost_no_element_a_key(store: Callable[[bytes], bytes]) -> None:
    """As AWS, MinIO, Ceph and SeaweedFS write them, pages are read by the expression, not by the XML parser."""
    entries = [Entry("a b.csv", 1, 10**15, "0" * 32), Entry("b", 2, 0, "1-2")]
    body = store(rendered(entries))
    assert read_fast(body) is not None
    assert read(body) == (entries, None)


VARIANTS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda body: body,
    "no declaration": lambda body: body.partition(b"\n")[2],
    "no namespace": lambda body: body.replace(NAMESPACE, b""),
    "another order": permuted,
    "SeaweedFS's order": as_seaweedfs,
    "pretty": pretty,
    "lines of Windows": lambda body: pretty(body).replace(b"\n", b"\r\n"),
    "a prefix for the namespace": prefixed,
    "a namespace on each object": lambda body: body.replace(b"<Contents>", b'<Contents xmlns="">'),
    "some objects in a namespace": lambda body: (
        body.replace(NAMESPACE, NAMESPACE + b' xmlns:x="urn:x"', 1)
        .replace(b"<Contents>", b"<x:Contents>", 1)
        .replace(b"</Contents>", b"</x:Contents>", 1)
    ),
    "a comment": lambda body: body.replace(b"<Contents>", b"<!-- <Contents><Key>no</Key></Contents> --><Contents>"),
    "ETags in plain quotes": lambda body: body.replace(b"&quot;", b'"'),
    "ETags in numbered quotes": lambda body: body.replace(b"&quot;", b"&#34;"),
    "ETags without quotes": lambda body: body.replace(b"&quot;", b""),
    "in UTF-16": lambda body: body.decode().replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16"),
    "with a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "a line end at its end": lambda body: body + b"\n",
    "fields that nobody knows": lambda body: body.replace(b"<Size>", b"<New>x</New><Size>"),
}

plain = st.text("ab/ .é&<", min_size=1, max_size=5)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@settings(examples, max_examples=25)
@given(entries_of(plain))
def test_other_stores_pages_read_alike(variant: Callable[[bytes], bytes], entries: list[Entry]) -> None:
    """Order, blanks, namespaces, comments and encodings change nothing of what is read."""
    assert read(variant(rendered(entries))) == (entries, None)


def test_cdata_reads_alike() -> None:
    """Text in CDATA sections is text."""
    body = rendered([Entry("KEY", 1, 0), Entry("b", 2, 0)]).replace(b"KEY", b"<![CDATA[a&amp;<b>]]>")
    assert [entry.key for entry in read(body)[0]] == ["a&amp;<b>", "b"]


def test_an_object_without_an_etag_has_none() -> None:
    """Stores that know no ETags give empty ones."""
    body = rendered([Entry("a", 1, 0)]).replace(b"<ETag>&quot;&quot;</ETag>", b"")
    assert read(body)[0] == [Entry("a", 1, 0)]


# what cannot be read yet

RESTORED = (
    "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>"
    "<RestoreExpiryDate>2030-01-01T00:00:00Z</RestoreExpiryDate></RestoreStatus>"
)
RESTORING = "<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>"


@pytest.mark.parametrize("variant", ["as it is", "pretty", "a prefix for the namespace"])
def test_archived_objects_are_unfit_until_they_are_restored(variant: str) -> None:
    """GLACIER and DEEP_ARCHIVE cannot be read, unless a restored copy is there; every other class can."""
    classes = ["STANDARD", "GLACIER", "DEEP_ARCHIVE", "GLACIER_IR", "GLACIER", "GLACIER", "INTELLIGENT_TIERING"]
    status = ["", "", "", "", RESTORED, RESTORING, ""]
    body = rendered(
        [Entry(f"k{n}", 1, 0) for n in range(7)],
        more=lambda n: f"<StorageClass>{classes[n]}</StorageClass>{status[n]}",
    )
    assert parse(VARIANTS[variant](body), "")[0].unfit == {
        1: "is archived (GLACIER) and has not been restored",
        2: "is archived (DEEP_ARCHIVE) and has not been restored",
        5: "is archived (GLACIER) and has not been restored",
    }


# what is not a page

PAGE = rendered([Entry(f"key{n}", n, 0, "abc") for n in range(5)], token="next")

GARBAGE = {
    "nothing": b"",
    "an error": b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>",
    "a proxy's page": b"<html><body>Bad gateway</body></html>",
    "no markup": b"{}",
    "bytes": bytes(range(256)),
    "an empty element": b"<ListBucketResult/>",
    "no IsTruncated": PAGE.replace(b"<IsTruncated>true</IsTruncated>", b""),
    "another IsTruncated": PAGE.replace(b">true<", b">yes<"),
    "a key missing": PAGE.replace(b"<Key>key3</Key>", b""),
    "a size missing": PAGE.replace(b"<Size>3</Size>", b""),
    "no size": PAGE.replace(b"<Size>3<", b"<Size>many<"),
    "a negative size": PAGE.replace(b"<Size>3<", b"<Size>-3<"),
    "no time": PAGE.replace(b"1970-01-01T00:00:00.000Z", b"yesterday", 1),
    "no entity": PAGE.replace(b"key3", b"a&nbsp;b"),
    "two pages": PAGE + PAGE,
    "in other words": PAGE.replace(b"ListBucketResult", b"ListVersionsResult"),
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_a_passing_fault(body: bytes) -> None:
    """What is not a listing, or half of one, is an error that may pass, never a crash and never an empty page."""
    with pytest.raises(Transient, match="is not a listing"):
        parse(body, "")


def test_a_cut_page_is_a_passing_fault() -> None:
    """However much of a page is missing at its end, it is not taken for a shorter one."""
    for length in range(len(PAGE)):
        with pytest.raises(Transient):
            parse(PAGE[:length], "")


@pytest.mark.parametrize("token", [b"", b"<NextContinuationToken></NextContinuationToken>"])
@pytest.mark.parametrize("variant", ["as it is", "pretty"])
def test_more_keys_without_a_way_to_them_is_an_error(token: bytes, variant: str) -> None:
    """A page that says there is more, and not how to get it, must not end the listing silently."""
    body = PAGE.replace(b"<NextContinuationToken>next</NextContinuationToken>", token)
    with pytest.raises(Corrupt, match="reports more keys"):
        parse(VARIANTS[variant](body), "")


def test_a_key_outside_the_folder_is_a_fault() -> None:
    """A store that gives keys which were not asked for is not believed: they would get wrong names."""
    with pytest.raises(Transient, match="does not start with 'key/'"):
        parse(PAGE, "key/")


def test_a_token_without_more_keys_ends_the_listing() -> None:
    """Only IsTruncated says whether there is more."""
    assert parse(PAGE.replace(b">true<", b">false<"), "")[1] is None


@examples
@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_are_a_page_or_a_fault(body: bytes) -> None:
    """Nothing that can be sent leads to another exception."""
    with pytest.raises(Transient):
        parse(body, "")


@settings(examples, max_examples=400)
@given(st.integers(0, len(PAGE) - 1), st.integers(0, 255))
def test_one_wrong_byte_never_loses_a_key(at: int, byte: int) -> None:
    """A byte that is changed anywhere gives a fault or as many keys as there were, and never ends the listing."""
    try:
        page, token, unrepresentable_names = parse(PAGE[:at] + bytes([byte]) + PAGE[at + 1 :], "")
    except Error:
        return
    assert len(page) + len(unrepresentable_names) == 5
    assert token


def test_columns_have_one_length() -> None:
    """Every column of a page has an item for each key."""
    page = parse(PAGE, "").page
    assert page == Page([f"key{n}" for n in range(5)], list(range(5)), [0] * 5, ["abc"] * 5)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a&amp;b", "a&b"),
        ("&lt;&gt;&quot;&apos;", "<>\"'"),
        ("&#65;&#x42;&#X43;", "ABC"),
        ("&amp;lt;", "&lt;"),
        ("&nbsp; & &;", "&nbsp; & &;"),
        ("&#x10FFFF;", "\U0010ffff"),
        ("&#99999999999;&#x110000;", "&#99999999999;&#x110000;"),
    ],
)
def test_entities(text: str, plain: str) -> None:
    """XML's five and numbers are undone, once; what is none stays."""
    assert unescape(text) == plain


def test_encodings_of_the_path_kind_are_read_too() -> None:
    """Stores that encode as in a path, blanks as %20, are read alike."""
    keys = ["a b", "ä/ö", "per%cent", "p+lus"]
    body = rendered([Entry(f"@{n}", 1, 0) for n in range(4)], encode=True)
    for n, key in enumerate(keys):
        body = body.replace(f"%40{n}".encode(), quote(key).encode())
    assert [entry.key for entry in read(body)[0]] == keys

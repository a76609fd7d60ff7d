"""Mutated listings for the readers, memory capped by the kernel: ``python -m tests.stores.readers [COUNT]``.

Documents of S3 go to both readers: where the fast one takes a document, the exact one has to take it too, and to
read the same. Documents of OCI are pages with every field right, or refused. Nothing else may be raised, and memory
may not run away.
"""

from __future__ import annotations

import json
import random
import re
import resource
import sys
from collections import Counter
from collections.abc import Callable

from keepstep.stores import oci_listing
from keepstep.stores.interface import Page
from keepstep.stores.listing import Garbled
from keepstep.stores.s3_listing import Read, read_exact, read_fast

COUNT = 100_000
_MEMORY = 1 << 30
"""Bytes of address space."""

_KEYS = [
    "a",
    "a b",
    "a+b",
    "a%2Fb",
    "x/é",
    "p&amp;q",
    "&lt;",
    "\U0001f986",
    "k&#x41;",
    "&#65;",
    "%FF",
    "a&#10;b",
    "",
]
_QUOTES = ("&quot;", "&#34;", '"', "")
_TAIL = "<StorageClass>{}</StorageClass>"
_CLASSES = ("STANDARD", "GLACIER", "DEEP_ARCHIVE", "", "glacier", "GLACIER ")
_SNIPPETS = [
    "<", ">", "&", "]]>", "<![CDATA[x]]>", "<!-- <Contents><Key>no</Key></Contents> -->", "<?pi <Contents>?>",
    "\r", "\n",
    "\t", "\0", "\x1b", "\ufffe", "\ud7ff", "&#xD800;", "&#0;", "&#1;", "&#55296;", "&#x110000;", "&nbsp;",
    "&amp;", "&#38;",
    "<Contents>", "</Contents>", "<Contents/>", "<Contents >", "</Contents >", "<Key>z</Key>", "<Key/>",
    "<Key></Key>",
    "<Size>7</Size>", "<Size>-1</Size>", "<Size>1e3</Size>", "<Size>٣</Size>", "<Size>" + "9" * 30 + "</Size>",
    "<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated>", "<IsTruncated>TRUE</IsTruncated>",
    "<EncodingType>url</EncodingType>", "<EncodingType >url</EncodingType>",
    "<EncodingType>&#117;rl</EncodingType>",
    "<EncodingType> url </EncodingType>", "<EncodingType>base64</EncodingType>", "<EncodingType/>",
    "<NextContinuationToken>t</NextContinuationToken>", '<NextContinuationToken a="b">u</NextContinuationToken>',
    "<NextContinuationToken/>", "<NextContinuationToken>a&amp;b</NextContinuationToken>",
    "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>", "<x:Contents xmlns:x='u'><x:Key>n</x:Key></x:Contents>",
    "<!DOCTYPE a [<!ENTITY b 'c'>]>", "<!ENTITY x 'y'>", "<StorageClass>GL&#65;CIER</StorageClass>",
    "<RestoreStatus><RestoreExpiryDate>2030</RestoreExpiryDate></RestoreStatus>", "<Owner><ID>i</ID></Owner>",
    "<Owner><Key>k</Key></Owner>", "<a>" * 50, "<a>" * 40 + "</a>" * 40, '<?xml version="1.0" encoding="latin-1"?>',
    "</ListBucketResult>", "<ListBucketResult>", " ", "é", "\u00a0", "<ETag>e</ETag>",
    "<LastModified>x</LastModified>",
]  # fmt: skip
_ELEMENT = re.compile(rb"<([A-Za-z]+)>[^<]*</\1>")
_HEADS = [
    '<?xml version="1.0" encoding="UTF-8"?>\n', "<?xml version='1.0' encoding='utf-8'?>\n",
    '<?xml version="1.0"?>', "",
    '<?xml version="1.0" encoding="ISO-8859-1"?>', '<?xml version="1.0" encoding="UTF-16"?>',
    '<?xml version="1.1"?>',
    '<?xml version="1.0" encoding="nope"?>', '<?xml version="1.0" encoding="shift_jis"?>', "\ufeff", " ",
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>',
]  # fmt: skip
_TIMES = [
    "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00Z", "99999-01-01T00:00:00Z", "2016-12-31T23:59:60Z", "soon", "",
]  # fmt: skip


def document(chance: random.Random) -> bytes:
    """A listing as some store may write it."""

    def pick(values: list[str]) -> str:
        return values[0] if chance.random() < 0.93 else chance.choice(values)

    quote, order = chance.choice(_QUOTES), chance.random()
    rows = []
    for _ in range(chance.randrange(4)):
        key = f"<Key>{chance.choice(_KEYS)}{chance.randrange(10)}</Key>"
        time = f"<LastModified>{pick(_TIMES)}</LastModified>"
        tag = f"<ETag>{quote}{chance.choice(['0' * 32, '1-2', '', 'x y'])}{quote}</ETag>"
        size, tail = f"<Size>{chance.randrange(10**6)}</Size>", _TAIL.format(pick([*_CLASSES]))
        row = key + time + tag + size + tail if order < 0.6 else key + tag + size + tail + time
        rows.append(f"<Contents>{row}</Contents>")
    encoding = "<EncodingType>url</EncodingType>" if chance.random() < 0.5 else ""
    space = pick([' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', "", ' xmlns="urn:x"', ' a="b"'])
    truncated = f"<IsTruncated>{pick(['false', 'true', ' false '])}</IsTruncated>"
    parts = [f"<Name>b</Name><Prefix/>{encoding}", truncated, *rows]
    if chance.random() < 0.3:
        parts.append(parts.pop(1))
    return f"{pick(_HEADS)}<ListBucketResult{space}>{''.join(parts)}</ListBucketResult>".encode()


def rendered_with(text: str) -> bytes:
    """A page of nothing, with a text before its root or, where that is elements, in it."""
    inner, outer = ("", text) if text.startswith("<!") else (text, "")
    return f"{outer}<ListBucketResult><IsTruncated>false</IsTruncated>{inner}</ListBucketResult>".encode()


def mutated(body: bytes, chance: random.Random) -> bytes:
    """The document with a few wrong turns."""
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
        at = chance.randrange(len(body) + 1)
        if chance.random() < 0.8:  # between two elements, mostly
            at = body.find(b"<", at) if body.find(b"<", at) >= 0 else at
        match chance.choice([0, 0, 0, 0, 0, 1, 1, 1, 2, 3, 4, 5]):
            case 0:
                body = body[:at] + chance.choice(_SNIPPETS).encode("utf-8", "replace") + body[at:]
            case 1:
                body = _rearranged(body, chance)
            case 2:
                body = body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
            case 3:
                end = at + chance.randrange(1, 40)
                body = body[:at] + body[end:]
            case 4:
                end = at + chance.randrange(1, 80)
                body = body[:end] + body[at:end] + body[end:]
            case 5:
                end = body.find(b">", at) + 1
                body = body[:at] + chance.choice(_SNIPPETS).encode() + body[end:] if end else body
    return body


def _rearranged(body: bytes, chance: random.Random) -> bytes:
    """The same with one element twice, left out, or in the place of another."""
    elements = [found.span() for found in _ELEMENT.finditer(body)]
    if not elements:
        return body
    (start, end), (to, until) = chance.choice(elements), chance.choice(elements)
    match chance.randrange(3):
        case 0:
            return body[:to] + body[start:end] + body[to:]
        case 1:
            return body[:start] + body[end:]
        case _:
            return body[:to] + body[start:end] + body[until:]


def look(body: bytes) -> str:
    """What the readers make of it. Raises ``AssertionError`` when they differ."""
    fast = read_fast(body)
    try:
        exact: Read | None = read_exact(body)
    except (ValueError, KeyError, OverflowError):
        exact = None
    if fast is not None:
        assert exact is not None, f"only the fast reader takes {body[:2000]!r}"
        assert fast == exact, f"{body[:2000]!r}: {fast} is not {exact}"
        return "both"
    return "neither" if exact is None else "exact"


# OCI

_VALUES: list[object] = [
    None, True, False, 0, -1, 1.5, 1e400, float("nan"), "", "a", "\ud800", [], {}, [[]],
    "2026-01-01T00:00:00Z", 10**30,
    "99999-01-01T00:00:00.000Z", {"name": "x"}, [None], "p/\ufffe",
]  # fmt: skip


def oci_document(chance: random.Random) -> bytes:
    """A page of ListObjects, with a few wrong turns."""
    page: dict[str, object] = {
        "objects": [
            {
                "name": f"p/{n}",
                "size": n,
                "etag": "e",
                "timeModified": "2026-01-01T00:00:00.000Z",
                "md5": "1B2M2Y8AsgTpgAmY7PhCfg==",
                "archivalState": None,
            }
            for n in range(chance.randrange(4))
        ],
        "prefixes": [],
        "nextStartWith": chance.choice([None, "p/9"]),
    }
    for _ in range(chance.randrange(3)):
        place: dict[str, object] = page
        objects = page.get("objects")
        if isinstance(objects, list) and objects and chance.random() < 0.7:
            first = chance.choice(objects)
            place = first if isinstance(first, dict) else page
        if place:
            name = chance.choice([*place])
            if chance.random() < 0.3:
                del place[name]
            else:
                place[name] = chance.choice(_VALUES)
    body = json.dumps(page if chance.random() < 0.95 else chance.choice(_VALUES)).encode()
    if chance.random() < 0.3:
        at = chance.randrange(len(body) + 1)
        more = chance.choice([b"[" * 100_000, b"9" * 5000, b"<html>", b"\xff", b'"objects":[],', b",", b"}", b""])
        body = body[:at] + more + body[at + chance.randrange(3) :]
    return body


def look_at_oci(body: bytes) -> str:
    """A page in which everything is what it must be, or :class:`Garbled`."""
    try:
        page, token, unrepresentable_names = oci_listing.parse(body, "p/", has_digests=True)
    except Garbled:
        return "refused"
    _check(page)
    assert token is None or token.encode(), body
    objects = json.loads(body)["objects"]
    assert len(page) + len(unrepresentable_names) == len(objects), body
    return "taken"


def _check(page: Page) -> None:
    assert len({len(column) for column in (page.keys, page.sizes, page.times, page.etags, page.digests)}) == 1
    for key, size, time, etag in zip(page.keys, page.sizes, page.times, page.etags, strict=True):
        assert key.encode() is not None
        assert type(size) is int
        assert 0 <= size < 1 << 63
        assert type(time) is int
        assert type(etag) is str


def campaign(count: int, *, seed: int = 1) -> Counter[str]:
    """Looks at ``count`` documents of each cloud; how often each outcome came."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    outcomes: Counter[str] = Counter()
    looks: list[tuple[str, Callable[[random.Random], bytes], Callable[[bytes], str]]] = [
        ("s3", lambda chance: mutated(document(chance), chance), look),
        ("oci", oci_document, look_at_oci),
    ]
    for name, make, read in looks:
        for number in range(count):
            outcomes[f"{name}: {read(make(random.Random(seed * 10**9 + number)))}"] += 1
    return outcomes


if __name__ == "__main__":
    for outcome, times in sorted(campaign(int(sys.argv[1]) if sys.argv[1:] else COUNT).items()):
        print(f"{times:8,} {outcome}")
    print("no difference")

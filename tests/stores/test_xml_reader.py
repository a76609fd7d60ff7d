"""XML from wherever an endpoint leads: read as it is meant, or refused, and cheap to refuse."""

from __future__ import annotations

import pytest

from keepstep.stores.xml_reader import NotXML, fields, local, read_xml, text_of


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<a>x</a>", "x"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>'.encode("latin-1"), "é"),
        ('<?xml version="1.0" encoding="UTF-16"?><a>é</a>'.encode("utf-16"), "é"),
        (b"<a>x<!-- <b/> -->y<?pi <b/>?>z</a>", "xyz"),
        (b"<a><![CDATA[<&#x41;>]]></a>", "<&#x41;>"),
        (b"<a>&#x41;&#66;&amp;</a>", "AB&"),
        (b"<a>a&#1;b&#x1F;c</a>", "a\x01b\x1fc"),
        (b"<a>a&#0;b</a>", "a\0b"),
        (b"<a>a&#xD800;b</a>", "a\ud800b"),
        (b"<a>a&#65535;b</a>", "a\uffffb"),
        (b"<a>a\xe9b</a>", "a\udce9b"),
        (b"\xef\xbb\xbf<a>x</a>", "x"),
        (b'<x:a xmlns:x="urn:y">x</x:a>', "x"),
    ],
)
def test_text_is_what_is_written(body: bytes, text: str) -> None:
    """Encodings, comments, sections and references as XML has them; also what XML cannot write, where stores do."""
    root = read_xml(body)
    assert (local(root), text_of(root)) == ("a", text)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<a>",
        b"<a></b>",
        b"<a/><a/>",
        b"<a>&nbsp;</a>",
        b"<a>&#x110000;</a>",
        b"<a>\x01</a>",
        b"<a b='1' b='2'/>",
        b"<x:a/>",
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a><a/>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b'<?xml version="1.0" encoding="shift_jis"?><a/>',
        b"<a>" * 33 + b"</a>" * 33,
        b"<a>" + b"<b/>" * 400_001 + b"</a>",
        b" " * (32 * 1024 * 1024) + b"<a/>",
    ],
    ids=range(18),
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    """What is not well-formed, has a document type, or is deeper, longer or larger than any answer of a store."""
    with pytest.raises(NotXML):
        read_xml(body)


def test_fields_are_there_once_and_hold_text() -> None:
    """Of two alike, or of one that holds elements, nobody knows what was meant; others are not looked at."""
    wanted = frozenset({"k", "s"})
    assert fields(read_xml(b"<a><k>1</k><z/><z/><s/></a>"), wanted) == {"k": "1", "s": ""}
    for body in (b"<a><k>1</k><k>2</k></a>", b"<a><k>1<b/>2</k></a>"):
        with pytest.raises(NotXML):
            fields(read_xml(body), wanted)

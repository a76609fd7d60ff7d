"""Reads a store's XML answers: the only place where XML is parsed.

An answer comes from whatever is at the other end, so what XML allows and no store needs is refused: a document type
(entities that multiply), deep nesting, and documents larger than any answer. https://www.w3.org/TR/xml/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_DEEPEST = 32
"""S3's own answers nest five levels."""
LARGEST = 32 * 1024 * 1024
"""Bytes. A listing of a thousand keys of 1024 bytes, each of them escaped, has 7 million."""
_MOST_ELEMENTS = 400_000
"""A thousand objects have 15,000 elements, ten thousand parts 50,000."""

_MARK = "\ufdd0"
"""Stands in a document for a character that XML has no way to write; a noncharacter, so no text has it."""
_MARKED = re.compile(f"{_MARK}([0-9a-f]+);")
_REFERENCE = re.compile(r"&#(?:([0-9]{1,7})|x([0-9A-Fa-f]{1,6}));")
_NOT_BYTES = re.compile("[\udc80-\udcff]")
_UTF8 = re.compile(
    r"(?:\ufeff)?(?!<\?xml)|(?:\ufeff)?<\?xml[^>]*?(?:encoding=[\"']utf-?8[\"'][^>]*)?\?>", re.IGNORECASE
)


class NotXML(ValueError):
    """The text is not an XML document, or not one that a store would send."""


def read_xml(body: bytes | bytearray) -> Element:
    """The root element, tags as ``{namespace}name``; comments and processing instructions are left out.

    Characters that XML cannot write (control characters and halves of characters given by number, bytes that are
    not UTF-8) are kept where they stand in text: :func:`first_text` brings them back. Raises :class:`NotXML`.
    """
    if len(body) > LARGEST:
        raise NotXML(f"a document of {len(body)} bytes")
    try:
        return _parse(bytes(body))
    except NotXML:
        marked = _with_marks(body)
        if marked is None:
            raise
        return _parse(marked)


def text_of(element: Element) -> str:
    """The text of an element that holds nothing else. Raises :class:`NotXML` when there is more in it."""
    if len(element):
        raise NotXML(f"<{local(element)}> holds elements")
    return first_text(element)


def first_text(element: Element) -> str:
    """What stands in an element before the first one in it."""
    text = element.text or ""
    return _MARKED.sub(lambda found: chr(int(found[1], 16)), text) if _MARK in text else text


def local(element: Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def fields(element: Element, wanted: frozenset[str]) -> dict[str, str]:
    """The text of those of the element's children that are wanted, by name. Raises :class:`NotXML` on two alike."""
    found: dict[str, str] = {}
    for child in element:
        name = local(child)
        if name in wanted:
            if name in found:
                raise NotXML(f"two <{name}> in one <{local(element)}>")
            found[name] = text_of(child)
    return found


def _parse(body: bytes) -> Element:
    from xml.etree.ElementTree import TreeBuilder
    from xml.parsers import expat

    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    builder = _Builder(TreeBuilder())
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = builder.refuse_doctype
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError, ValueError) as exc:  # the latter two for unknown encodings
        raise NotXML(str(exc)) from exc
    return builder.root()


class _Builder:
    """Builds the tree, within limits."""

    def __init__(self, tree: Any) -> None:
        self._tree = tree
        self._end = tree.end
        self.data = tree.data
        self._depth = 0
        self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > _DEEPEST or self._count > _MOST_ELEMENTS:
            raise NotXML(
                "a document of too many elements" if self._depth <= _DEEPEST else "a document nested too deeply"
            )
        self._tree.start("{" + tag if "}" in tag else tag, {})

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._end(tag)

    def refuse_doctype(self, *_: object) -> None:
        raise NotXML("a document type is declared")

    def root(self) -> Element:
        found: Element = self._tree.close()
        return found


def _with_marks(body: bytes | bytearray) -> bytes | None:
    """The document with marks in place of what XML cannot write; None where that would not help."""
    text = bytes(body).decode("utf-8", "surrogateescape")
    if _MARK in text or "<![CDATA[" in text or not _UTF8.match(text):
        return None
    marked = _REFERENCE.sub(_marked_reference, text)
    marked = _NOT_BYTES.sub(lambda found: f"{_MARK}{ord(found[0]):x};", marked)
    return None if marked == text else marked.encode()


def _marked_reference(found: re.Match[str]) -> str:
    code = int(found[1]) if found[1] else int(found[2], 16)
    is_legal = code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
    return found[0] if is_legal else f"{_MARK}{code:x};"

"""Modes of ListObjectsV2: other orders, other pages, other documents."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote_plus
from xml.sax.saxutils import escape, unescape

from tests.twisting.exchange import Answer, Request, Send, error, mode

LIST = "ListObjectsV2"
_CONTENTS = re.compile(r"<Contents>.*?</Contents>", re.DOTALL)
_KEY = re.compile(r"<Key>(.*?)</Key>", re.DOTALL)
_TOKEN = re.compile(r"<NextContinuationToken>.*?</NextContinuationToken>")

Order = Callable[[str], Any]


# orders: the proxy reads the whole bucket and lists it as such a store would


@dataclass(frozen=True)
class Shelf:
    """A store that keeps its keys in an order of its own, and lists from where it is asked in that order."""

    order: Order = str.encode
    start_after: str = "honoured"
    """``honoured``, ``ignored`` or ``inclusive``."""

    async def page(self, request: Request, send: Send) -> Answer:
        """One page, as :attr:`Request.query` asks for it."""
        query, found = request.query, await everything(request, send)
        keys = sorted(found, key=self.order)
        token = query.get("continuation-token", "")
        if token:
            keys = keys[int(token.removeprefix("place-")) :]
        elif start := query.get("start-after"):
            keys = [key for key in keys if self._is_behind(key, start)]
        most = min(request.memory.page_size, int(query.get("max-keys", "1000")))
        return self._cut(request, found, sorted(found, key=self.order), keys, most)

    def _is_behind(self, key: str, start: str) -> bool:
        mine, theirs = self.order(key), self.order(start)
        if self.start_after == "ignored":
            return True
        return bool(mine > theirs or (self.start_after == "inclusive" and mine == theirs))

    def _cut(self, request: Request, found: dict[str, str], every: list[str], keys: list[str], most: int) -> Answer:
        prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
        rows: list[str] = []
        folders: list[str] = []
        used = 0
        for key in keys:
            folder = _folder(key, prefix, delimiter)
            if folder is None or folder not in folders:
                if len(rows) + len(folders) == most:
                    break
                if folder is None:
                    rows.append(found[key].replace("{key}", _written(key, request)))
                else:
                    folders.append(folder)
            used += 1
        rest = keys[used:]
        token = f"place-{every.index(rest[0])}" if rest else ""
        return document(request, rows, [_written(folder, request) for folder in folders], token)


def _folder(key: str, prefix: str, delimiter: str) -> str | None:
    head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
    return prefix + head + delimiter if found else None


def _written(key: str, request: Request) -> str:
    return quote(key, safe="/*-._") if request.query.get("encoding-type") == "url" else escape(key)


def document(request: Request, rows: list[str], folders: list[str], token: str) -> Answer:
    """A page of these elements."""
    encoding = "<EncodingType>url</EncodingType>" if request.query.get("encoding-type") == "url" else ""
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    common = "".join(f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in folders)
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>b</Name>{encoding}<KeyCount>{len(rows) + len(folders)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>{more}{''.join(rows)}{common}</ListBucketResult>"
    )
    return Answer(200, {"content-type": "application/xml"}, body.encode())


async def everything(request: Request, send: Send) -> dict[str, str]:
    """All objects beneath the prefix: their elements by key, with ``{key}`` where the key was."""
    found: dict[str, str] = {}
    asked = request.asking(delimiter=None, start_after=None, continuation_token=None, max_keys=None)
    asked = asked.asking(encoding_type="url")
    while True:
        answer = await send(asked)
        for element in _CONTENTS.findall(answer.text):
            written = _KEY.search(element)
            assert written
            found[unquote_plus(unescape(written[1]))] = _KEY.sub("<Key>{key}</Key>", element)
        token = _TOKEN.search(answer.text)
        if not token:
            return found
        asked = asked.asking(continuation_token=unescape(re.sub("<[^>]*>", "", token[0])))


def _as_tree(key: str) -> Any:
    return [part.encode() for part in key.split("/")]


def _files_first(key: str) -> Any:
    *folders, name = key.split("/")
    return [*[(1, folder.encode()) for folder in folders], (0, name.encode())]


_SHELVES = {
    "folder-order": (Shelf(_as_tree), "Lists a folder's tree before names that continue its own (SeaweedFS)."),
    "files-first-order": (Shelf(_files_first), "Lists the files of a folder before its folders (s3rver)."),
    "utf16-order": (Shelf(lambda key: key.encode("utf-16-be")), "Orders by UTF-16 units, as Java and JS do."),
    "case-blind-order": (Shelf(lambda key: (key.lower().encode(), key.encode())), "Orders as some databases do."),
    "reverse-order": (Shelf(lambda key: [-byte for byte in key.encode()] + [1]), "The greatest key first."),
    "no-order": (Shelf(lambda key: (zlib.crc32(key.encode()), key)), "As a hash table has it; places are stable."),
    "start-after-ignored": (Shelf(start_after="ignored"), "Every listing without a token begins at the start."),
    "start-after-inclusive": (Shelf(start_after="inclusive"), "Lists also the key itself."),
    "small-pages": (Shelf(), "As many keys a page as the proxy's page_size says, however many are asked for."),
}


def _shelf_mode(name: str, shelf: Shelf, promise: str) -> None:
    async def list_(request: Request, send: Send) -> Answer:
        return await shelf.page(request, send)

    list_.__doc__ = promise
    mode(LIST, name=name)(list_)


for _name, (_shelf, _promise) in _SHELVES.items():
    _shelf_mode(_name, _shelf, _promise)


@mode(LIST)
async def max_keys_ignored(request: Request, send: Send) -> Answer:
    """Gives all keys in one page, however few are asked for."""
    request.memory.page_size = 1 << 30
    return await Shelf().page(request.asking(max_keys=str(1 << 30)), send)


@mode(LIST)
async def delimiter_ignored(request: Request, send: Send) -> Answer:
    """Lists keys where folders are asked for."""
    return await send(request.asking(delimiter=None))


@mode(LIST)
async def encoding_type_ignored(request: Request, send: Send) -> Answer:
    """Writes keys as XML alone does, and says nothing of an encoding."""
    return await send(request.asking(encoding_type=None))


@mode(LIST)
async def version_1_only(request: Request, send: Send) -> Answer:
    """Knows only the first version of the operation, and answers the second one as that: Marker, no tokens."""
    query = request.query
    plain = request.asking(list_type=None, start_after=None, continuation_token=None)
    after = await Shelf().page(replace(plain).asking(start_after=query.get("marker")), send)
    text = _TOKEN.sub("", re.sub("<KeyCount>.*?</KeyCount>", "", after.text))
    return after.saying(text.replace("<MaxKeys>", f"<Marker>{escape(query.get('marker', ''))}</Marker><MaxKeys>"))


# pages that do not follow each other


@mode(LIST)
async def page_repeated(request: Request, send: Send) -> Answer:
    """Ignores tokens and start-after alike: every page is the first one, and says that there are more."""
    first = request.asking(start_after=None, continuation_token=None)
    answer = await Shelf().page(first, send)
    if "<IsTruncated>true" in answer.text:
        return answer
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>"
    return answer.saying(answer.text.replace("<IsTruncated>false</IsTruncated>", more))


@mode(LIST)
async def token_repeated(request: Request, send: Send) -> Answer:
    """The second page's token is its own: a client that follows it reads that page forever."""
    answer = await Shelf().page(request, send)
    token = request.query.get("continuation-token")
    if not token:
        return answer
    text = answer.text.replace("<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated>")
    text = _TOKEN.sub("", text).replace(
        "<IsTruncated>true</IsTruncated>",
        f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>",
    )
    return answer.saying(text)


@mode(LIST)
async def pages_overlap(request: Request, send: Send) -> Answer:
    """Each page begins with the last key of the one before it."""
    token = request.query.get("continuation-token", "")
    place = int(token.removeprefix("place-")) if token else 0
    return await Shelf().page(request.asking(continuation_token=f"place-{place - 1}") if place else request, send)


@mode(LIST)
async def empty_truncated_page(request: Request, send: Send) -> Answer:
    """Between any two pages is an empty one that says that there are more (stores that skip deleted keys)."""
    token = request.query.get("continuation-token", "")
    if token.startswith("empty-") or (not token and not request.query.get("start-after")):
        wanted = token.removeprefix("empty-") or None
        answer = await Shelf().page(request.asking(continuation_token=wanted), send)
        return answer.saying(answer.text.replace("<NextContinuationToken>", "<NextContinuationToken>empty-"))
    if token:
        return document(request, [], [], f"empty-{token}")
    return await Shelf().page(request, send)


@mode(LIST)
async def truncated_without_token(request: Request, send: Send) -> Answer:
    """Says that there are more keys, but not how to get them."""
    answer = await Shelf().page(request, send)
    return answer.saying(_TOKEN.sub("", answer.text))


@mode(LIST)
async def not_truncated_with_token(request: Request, send: Send) -> Answer:
    """The last page carries a token although it says to be the last."""
    answer = await Shelf().page(request, send)
    ended = "<IsTruncated>false</IsTruncated>"
    return answer.saying(answer.text.replace(ended, f"{ended}<NextContinuationToken>x</NextContinuationToken>"))


@mode(LIST)
async def start_after_with_token(request: Request, send: Send) -> Answer:
    """Refuses a request that has both start-after and a token."""
    if {"start-after", "continuation-token"} <= request.query.keys():
        return error(400, "InvalidArgument", "start-after and continuation-token exclude each other")
    return await send(request)


@mode(LIST)
async def no_start_after(request: Request, send: Send) -> Answer:
    """Refuses start-after."""
    return error(501, "NotImplemented", "start-after") if "start-after" in request.query else await send(request)


@mode("ListParts")
async def parts_repeated(request: Request, send: Send) -> Answer:
    """Every page of an upload's parts is the first one, and says that there are more."""
    answer = await send(request.asking(part_number_marker=None))
    text = re.sub(r"<(IsTruncated|NextPartNumberMarker)>.*?</\1>", "", answer.text)
    more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>"
    return answer.saying(re.sub(r"(</List\w+>\s*)\Z", rf"{more}\1", text))


# documents


@mode(LIST)
async def list_cut(request: Request, send: Send) -> Answer:
    """The document ends in its middle, with a length that says so."""
    answer = await send(request)
    return answer.saying(answer.body[: len(answer.body) * 2 // 3])


@mode(LIST)
async def list_html(request: Request, send: Send) -> Answer:
    """A captive portal's page with 200."""
    return Answer(200, {"content-type": "text/html"}, b"<!doctype html><html><body>Please log in</body></html>")


@mode(LIST)
async def list_empty(request: Request, send: Send) -> Answer:
    """200 without a body."""
    return Answer(200)


@mode(LIST)
async def list_bare_error(request: Request, send: Send) -> Answer:
    """An error document with 200."""
    return error(200, "InternalError", "We encountered an internal error. Please try again.")


def _document_mode(name: str, change: Callable[[str], str], promise: str) -> None:
    async def changed(request: Request, send: Send) -> Answer:
        answer = await send(request)
        return answer.saying(change(answer.text)) if answer.status == 200 else answer

    changed.__doc__ = promise
    mode(LIST, name=name)(changed)


def _first(pattern: str, replacement: str) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, replacement, text, count=1, flags=re.DOTALL)


def _each(pattern: str, replacement: str) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, replacement, text, flags=re.DOTALL)


_ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "boom" * 10}">' for n in range(9))
_DOCUMENTS: dict[str, tuple[Callable[[str], str], str]] = {
    "size-negative": (_first("<Size>.*?<", "<Size>-1<"), "A size that is not a size."),
    "size-missing": (_first("<Size>.*?</Size>", ""), "An object without a size."),
    "size-huge": (_first("<Size>.*?<", f"<Size>{'9' * 5000}<"), "A number of five thousand digits."),
    "time-missing": (_first("<LastModified>.*?</LastModified>", ""), "An object without a time."),
    "time-beyond": (_first("<LastModified>.*?<", "<LastModified>99999-01-01T00:00:00Z<"), "No calendar has it."),
    "time-with-offset": (_each("Z</LastModified>", "+00:00</LastModified>"), "UTC written in the other way."),
    "time-whole-seconds": (_each(r"\.\d+Z</LastModified>", "Z</LastModified>"), "No fraction of a second."),
    "list-no-etag": (_each("<ETag>.*?</ETag>", ""), "No ETags in listings."),
    "key-twice": (_first("(<Contents>.*?</Contents>)", r"\1\1"), "One key two times."),
    "key-empty": (_first("<Key>.*?</Key>", "<Key/>"), "A key without a letter."),
    "key-not-utf8": (_first("<Key>", "<Key>%FF"), "A key that is not UTF-8, as some gateways store it."),
    "key-surrogate": (_first("<Key>", "<Key>&#xD800;"), "Half a character by reference."),
    "key-null": (_first("<Key>", "<Key>%00"), "A zero byte in a key."),
    "key-elsewhere": (_first("<Key>", "<Key>elsewhere/"), "A key that does not begin with the prefix."),
    "list-prefixed": (
        lambda text: re.sub(r"<(/?)(?!\?)([A-Z])", r"<\1s3:\2", text).replace("xmlns=", "xmlns:s3="),
        "Elements with a namespace prefix.",
    ),
    "list-utf16": (
        lambda text: text.replace('encoding="UTF-8"', 'encoding="UTF-16"'),
        "Declares an encoding that the document does not have.",
    ),
    "list-doctype": (
        lambda text: text.replace("<ListBucketResult", f"<!DOCTYPE x [{_ENTITIES}]><ListBucketResult", 1).replace(
            "<Name>", "<Name>&e8;", 1
        ),
        "Entities that grow to gigabytes.",
    ),
    "list-deep": (
        lambda text: text.replace(
            "</ListBucketResult>", "<a>" * 200_000 + "</a>" * 200_000 + "</ListBucketResult>"
        ),
        "Elements nested without end.",
    ),
    "list-hidden-row": (
        lambda text: text.replace("<Name>", "<?pi <Contents><Key>ghost</Key></Contents>?><Name>", 1),
        "A processing instruction that looks like an object.",
    ),
    "list-commented": (_first("(<Contents>.*?</Contents>)", r"<!--\1-->"), "An object in a comment is none."),
    "list-spaced": (_each("<(/?)Contents>", r"<\1Contents >"), "Blanks in tags, which XML allows."),
    "list-attributes": (_each("<Contents>", '<Contents version="1">'), "Attributes on elements."),
    "list-encoding-by-reference": (
        _first("<EncodingType>url<", "<EncodingType>&#117;rl<"),
        "EncodingType written with a character reference.",
    ),
    "list-padded": (
        lambda text: re.sub("><", ">\n  <", text),
        "A document with line breaks between its elements.",
    ),
}
for _name, (_change, _promise) in _DOCUMENTS.items():
    _document_mode(_name, _change, _promise)

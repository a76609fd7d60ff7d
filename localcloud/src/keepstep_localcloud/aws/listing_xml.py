"""The XML of S3's listings, written by hand because a page has a thousand keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote_plus

from keepstep_localcloud.aws.versions import Version

_OWNER = "<Owner><ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a</ID></Owner>"
_ESCAPES = {code: f"&#x{code:X};" for code in (*range(0x20), 0x7F, 0xFFFE, 0xFFFF)}
_ESCAPES |= {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}


class Document:
    """A listing's XML as it grows. Names and prefixes are percent-encoded when the query asks for it."""

    def __init__(self, root: str, bucket: str, query: Mapping[str, str]) -> None:
        self._root = root
        self._url = query.get("encoding-type") == "url"
        self._parts = [
            f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        ]
        self.plain("Name", bucket)
        self.text("Prefix", query.get("prefix", ""))
        if "delimiter" in query:
            self.text("Delimiter", query["delimiter"])
        if self._url:
            self.plain("EncodingType", "url")

    def plain(self, element: str, value: str) -> None:
        self._parts.append(f"<{element}>{value.translate(_ESCAPES)}</{element}>")

    def text(self, element: str, value: str) -> None:
        """An element that holds a key or a part of one."""
        self._parts.append(f"<{element}>{self._encoded(value)}</{element}>")

    def _encoded(self, value: str) -> str:
        return quote_plus(value, safe="/") if self._url else value.translate(_ESCAPES)

    def page(
        self, found: Sequence[Version | str], *, limit: int, truncated: bool, owner: bool, versions: bool = False
    ) -> str:
        """The whole document."""
        self.plain("MaxKeys", str(limit))
        self.plain("IsTruncated", "true" if truncated else "false")
        for item in found:
            if isinstance(item, str):
                self._parts.append(f"<CommonPrefixes><Prefix>{self._encoded(item)}</Prefix></CommonPrefixes>")
            else:
                self._parts.append(self._version(item, owner=owner, versions=versions))
        self._parts.append(f"</{self._root}>")
        return "".join(self._parts)

    def _version(self, item: Version, *, owner: bool, versions: bool) -> str:
        element = "DeleteMarker" if item.marker else "Version" if versions else "Contents"
        xml = f"<Key>{self._encoded(item.key)}</Key><LastModified>{item.modified}</LastModified>"
        if versions:
            xml += f"<VersionId>{item.id}</VersionId><IsLatest>{str(item.latest).lower()}</IsLatest>"
        if not item.marker:
            xml += f"<ETag>{item.etag}</ETag><Size>{item.size}</Size>"
            xml += f"<StorageClass>{item.storage_class}</StorageClass>"
        if item.algorithm:
            xml += f"<ChecksumAlgorithm>{item.algorithm}</ChecksumAlgorithm>"
        return f"<{element}>{xml}{_OWNER if owner else ''}</{element}>"

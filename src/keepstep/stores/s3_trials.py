"""What stores that only speak S3 do to the names and properties of objects, found out once a run.

A store that keeps its objects as files may make one slash of two, drop a leading one, take a backslash for a slash,
or keep nothing of an object whose name ends in a slash (SeaweedFS and ``rclone serve s3`` do). Two keys then become
one object, and what was written is in no listing. So before the first name of such a kind is written, an object
under a name of that kind that nobody else uses is written, looked for, and deleted. S3rver, for another, keeps
names with control characters, and cannot list them, nor anything that is listed with them.

A store may also forget what is said of an object besides its bytes: the first object with metadata is looked at.
And it may overwrite where it is told to write only what is not there: what was created first is created once more.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress

from keepstep.errors import Conflict, Error, Transient, Unsupported
from keepstep.stores.headers import S3_FIELDS, from_headers
from keepstep.stores.interface import Lapse, Properties
from keepstep.stores.s3_client import S3Client
from keepstep.stores.s3_listing import parse

_ODD = re.compile(r"//|^/|/\Z|\\|(?:^|/)\.\.?(?:/|\Z)|[\x00-\x1f\x7f]")
_KINDS = (
    (re.compile(r"^/"), "/{}", "begins with a slash"),
    (re.compile(r"//"), "{}//x", "has an empty folder's name in it"),
    (re.compile(r"(?:^|/)\.(?:/|\Z)"), "{}/./x", "has . for a folder in it"),
    (re.compile(r"(?:^|/)\.\.(?:/|\Z)"), "{}/../{}x", "has .. for a folder in it"),
    (re.compile(r"\\"), "{}\\x", "has a backslash in it"),
    (re.compile(r"/\Z"), "{}/", "ends with a slash"),
    (re.compile(r"[\x00-\x1f\x7f]"), "{}\x01x", "has a control character in it"),
)
"""Names that mean something to file systems: by what they are known, one to try with, and in words."""
_HOW = {
    "otherwise": "under another name",
    "empty": "without its contents",
    "unlisted": "so that nothing next to it can be listed",
}
_BODY = b"keepstep tries this name"

Put = Callable[[str, bytes], Awaitable[object]]
"""Writes a test object under a whole key."""


class Trials:
    """Of one bucket, for one run. AWS's own names and metadata are not tried."""

    def __init__(self, client: S3Client, prefix: str, notices: list[str], put: Put) -> None:
        self._client = client
        self._prefix = prefix
        self._notices = notices
        self._put = put
        self._names: dict[str, asyncio.Task[str]] = {}
        self._looked_at: set[bool] = set()
        self._creates_once = False

    async def admit(self, key: str, size: int) -> None:
        """Raises :class:`Unsupported` when the store would not keep ``size`` bytes under this whole key."""
        if self._client.endpoint.is_of_aws or not _ODD.search(key):
            return
        for pattern, sample, words in _KINDS:
            if not pattern.search(key):
                continue
            if sample not in self._names:
                self._names[sample] = asyncio.ensure_future(self._try(sample))
            trial = self._names[sample]
            try:
                kept = await asyncio.shield(trial)
            except Error:  # that says nothing of names: the next one of the kind is tried
                if self._names.get(sample) is trial:
                    del self._names[sample]
                raise
            if kept in _HOW and (kept != "empty" or size):
                raise Unsupported(
                    f"{self._client.thing(key)}: this store keeps an object whose name {words} {_HOW[kept]}"
                )

    async def create_again(self, create: Callable[[], Awaitable[object]]) -> None:
        """Raises :class:`Unsupported` when what has just been created can be created once more (If-None-Match)."""
        if self._client.endpoint.is_of_aws or self._creates_once:
            return
        with suppress(Conflict):
            await create()
            raise Unsupported(
                f"{self._client.thing()}: this store overwrites existing objects despite If-None-Match",
                hint="it does not know If-None-Match, so of two writers both would win: keep this in another store",
            )
        self._creates_once = True

    async def look(self, key: str, properties: Properties, *, is_large: bool) -> None:
        """Looks at the first object with properties, small and large, and notes what the store has not kept."""
        if self._client.endpoint.is_of_aws or is_large in self._looked_at:
            return
        said = {name: value for name, value in properties._asdict().items() if value and name in _KEPT}
        if not said.keys() - {"content_type"}:
            return
        self._looked_at.add(is_large)
        with suppress(Error):
            head = await self._client.call("HeadObject", "HEAD", key)
            found = from_headers(head.headers, "x-amz-meta-", S3_FIELDS)._asdict()
            lost = [name for name, value in said.items() if not _is_kept(value, found[name])]
            if lost:
                parts = " of objects that come in parts" if is_large else ""
                self._note(f"this store does not keep {', '.join(map(_words, lost))}{parts}")

    def _note(self, text: str) -> None:
        self._notices.append(Lapse(f"s3://{self._client.bucket}: {text}"))

    async def _try(self, sample: str) -> str:
        """How a name is kept: ``as it is``, as :data:`_HOW` says, or ``refused`` by the store itself."""
        own = f".keepstep-{uuid.uuid4().hex}"
        plain = own if sample.startswith("/") else self._prefix + own
        key = sample.replace("{}", plain, 1).replace("{}", own)
        try:
            await self._put(key, _BODY)
        except Transient:
            raise
        except Error:
            return "refused"
        sizes: dict[str, int] | None = None
        try:
            # By its plain beginning: SeaweedFS repeats an odd prefix in the keys that it lists.
            sizes = await self._sizes(plain)
        except Error:  # S3rver fails at characters that XML cannot hold
            pass
        finally:
            await self._client.call("DeleteObject", "DELETE", key)
        if sizes is None:
            await self._sizes(plain)  # where that fails too, it was not the name
            return "unlisted"
        if sample.startswith("/"):
            return "otherwise" if sizes else "as it is"
        if key not in sizes:
            return "otherwise"
        return "as it is" if sizes[key] == len(_BODY) else "empty"

    async def _sizes(self, prefix: str) -> dict[str, int]:
        query = [("list-type", "2"), ("encoding-type", "url"), ("prefix", prefix), ("max-keys", "10")]
        response = await self._client.call("ListObjectsV2", "GET", None, query=query)
        page = parse(response.document, "").page
        return dict(zip(page.keys, page.sizes, strict=True))


_KEPT = {*S3_FIELDS.values(), "metadata"}


def _is_kept(said: object, found: object) -> bool:
    if isinstance(said, tuple) and isinstance(found, tuple):
        return set(said) <= set(found)
    return said == found


def _words(field: str) -> str:
    header = next((header for header, name in S3_FIELDS.items() if name == field), field)
    return "-".join(part.capitalize() for part in header.split("-")) if header != "metadata" else header

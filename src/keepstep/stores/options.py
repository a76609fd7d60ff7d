"""What a user asks of every object and every request of a run, besides which objects move. One value for a run.

Names and meaning are those of ``aws s3 sync`` (https://docs.aws.amazon.com/cli/latest/reference/s3/sync.html). Each
store turns it into headers once (:mod:`keepstep.stores.s3_headers`, :mod:`keepstep.stores.oci_headers`), so that an
object costs nothing more.
"""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal

from keepstep.secret import Secret
from keepstep.stores.interface import Properties

CopyProps = Literal["none", "metadata-directive", "default"]
Directive = Literal["COPY", "REPLACE"]


@dataclass(frozen=True, kw_only=True)
class TransferOptions:
    """Without arguments: nothing was asked for."""

    given: Properties = field(default_factory=Properties)
    """Headers and metadata that every written object gets, whatever the source says."""
    guesses_type: bool = True
    """Whether a file's content type is guessed from its name, where none is given."""
    copy_props: CopyProps = "default"
    """What a copy takes over from its source: nothing, headers and metadata, or those and tags."""
    metadata_directive: Directive | None = None
    """``COPY`` takes everything from the source and ``REPLACE`` nothing; ``copy_props`` then counts no more."""
    acl: str = ""
    grants: tuple[tuple[str, str], ...] = ()
    """Permission (``read``, ``readacl``, ``writeacl``, ``full``) and grantees."""
    sse: str = ""
    """``AES256`` or ``aws:kms``."""
    kms_key: str = ""
    source_key: Secret | None = None
    """The customer's own key (SSE-C) that objects at the source are encrypted with."""
    target_key: Secret | None = None
    """The one that objects at the target are to be encrypted with."""
    storage_class: str = ""
    website_redirect: str = ""
    request_payer: str = ""
    checksum_algorithm: str = ""
    checksum_mode: str = ""
    follows_links: bool = True
    """Whether symbolic links beneath a source folder are what they lead to, or nothing."""
    escapes_keys: bool = False
    """Whether keys that cannot be file names are written as names that can be."""
    page_size: int = 1000
    """Keys in one answer to a listing."""
    takes_archived: bool = False
    """Whether archived objects are asked for all the same."""
    tells_contents: bool = field(default=False, repr=False)
    """Whether listings tell what they can of contents: OCI's digests, and states of files in place of ETags."""
    multipart_threshold: int | None = None
    """Bytes from which an object travels in parts; None leaves it to each way of travelling."""
    multipart_chunksize: int | None = None
    """Bytes of such a part."""

    @cached_property
    def is_plain(self) -> bool:
        """True when copies keep what their source says."""
        return not self.given_fields and self.takes_source

    @property
    def takes_source(self) -> bool:
        """Whether a copy takes over anything from its source."""
        return self.copy_props != "none" if self.metadata_directive is None else self.metadata_directive == "COPY"

    @cached_property
    def given_fields(self) -> dict[str, Any]:
        """The fields of ``given`` that say something."""
        return {name: value for name, value in self.given._asdict().items() if value}

    def of_file(self, key: str, properties: Properties) -> Properties:
        """What a file becomes in a cloud."""
        plain = Properties(content_type=type_of(key) if self.guesses_type else "", time=properties.time)
        return plain._replace(**self.given_fields) if self.given_fields else plain

    def of_copy(self, properties: Properties) -> Properties:
        """What an object becomes at another place, when its source has these properties."""
        if self.metadata_directive == "COPY":
            return properties
        base = properties if self.takes_source else Properties(time=properties.time)
        return base._replace(**self.given_fields)


def type_of(key: str) -> str:
    """The type that a file's ending stands for (``.tar.gz`` has two), as the AWS CLI guesses it; empty if none."""
    stem, *endings = key.rpartition("/")[2].rsplit(".", 2)
    return _guess(".".join(["x" if stem.strip(".") else stem, *endings])) if endings else ""


_guess = lru_cache(1024)(lambda name: mimetypes.guess_type(name)[0] or "")

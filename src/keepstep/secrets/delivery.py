"""What is delivered where: the nouns of the secrets engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from keepstep.containers.interface import Notice
from keepstep.vaults.address import SecretAddress
from keepstep.vaults.interface import SecretValue

SecretKey = tuple[str, str]
"""A vault's kind and a secret's name: what is fetched once, however many files and fields it serves."""
Values = Mapping[SecretKey, SecretValue]


_MODE = re.compile(r"(0o)?[0-7]{1,4}")


def mode_of(text: str) -> int:
    """A file's mode in octal: ``0600``, ``640``. Raises ``ValueError``."""
    if not _MODE.fullmatch(text) or int(text.removeprefix("0o"), 8) > 0o777:
        raise ValueError(f"{text!r} is not a file mode; write it in octal, as 0600")
    return int(text.removeprefix("0o"), 8)


def path_of(text: str) -> str:
    """A path that a secret may have, in its shortest form. Raises ``ValueError`` with what is wrong with it."""
    parts = text.split("/")
    if parts[0] or not parts[-1]:
        raise ValueError("the path must be absolute, and that of a file")
    if ".." in parts or "\0" in text or parts[-1] == ".":
        raise ValueError("the path must not have .. or NUL in it")
    if parts[-1].startswith((".keepstep-", "..keepstep-", "..data")):
        raise ValueError("the name is reserved for keepstep's own files")
    return "/" + "/".join(part for part in parts if part not in ("", "."))


def key_of(address: SecretAddress) -> SecretKey:
    return address.vault, address.name


class Content(Protocol):
    """What a file is made of."""

    @property
    def sources(self) -> tuple[SecretAddress, ...]:
        """Every secret that :meth:`render` needs."""
        ...

    def render(self, values: Values) -> bytes:
        """The file's bytes. Raises :class:`ConfigError` that never repeats a value."""
        ...


@dataclass(frozen=True, slots=True)
class FileAttributes:
    """What a file has besides its content."""

    mode: int = 0o600
    uid: int | None = None
    """None: ours when the file is made, and anybody's afterwards."""
    gid: int | None = None

    @property
    def folder_mode(self) -> int:
        """Of folders that are made on the way: others may pass where the file is for others too."""
        is_ours = self.uid is None and self.gid is None and not self.mode & 0o077
        return 0o700 if is_ours else 0o711


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One secret, or several, rendered into one file."""

    path: str
    """Absolute, without ``..`` or links of its own; see :mod:`.folders`."""
    content: Content
    attributes: FileAttributes = FileAttributes()

    @property
    def origin(self) -> str:
        """The addresses it comes from, as they were written."""
        return ", ".join(str(source) for source in self.content.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What appears at once, and whom that concerns: one file, or the files of a set."""

    deliveries: tuple[Delivery, ...]
    notices: tuple[Notice, ...] = ()
    folder: str | None = None
    """Of a set, whose files are directly in it; None for a single file."""

    @property
    def path(self) -> str:
        return self.folder or self.deliveries[0].path

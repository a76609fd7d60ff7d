"""How two places lie to each other, by what they are and not by how they are written.

Buckets are what their names, endpoints and prefixes say. A folder is known by its device and inode and by those of
the folders above it, and by its path within its file system (``/proc/self/mountinfo``): so links, ``.``, ``..``,
bind mounts and file systems that mind no case make no difference. What cannot be seen from here counts as apart:
a server's folder that is mounted twice, an access point and the bucket behind it.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from keepstep.stores.address import Address

_COMPATIBLE = re.compile(r"(?P<namespace>[^./]+)\.compat\.objectstorage\.[^/]+")
"""The host at which OCI Object Storage speaks S3 ("Amazon S3 Compatibility API")."""
_OCTAL = re.compile(r"\\([0-7]{3})")
_MOUNTS = "/proc/self/mountinfo"


class Relation(Enum):
    """Of one place to another."""

    SAME = "same"
    INSIDE = "inside"
    CONTAINS = "contains"
    APART = "apart"


def relation(one: Address, other: Address) -> Relation:
    """How ``one`` lies to ``other``."""
    if (way := way_from(other, one)) is not None:
        return Relation.INSIDE if way else Relation.SAME
    return Relation.APART if way_from(one, other) is None else Relation.CONTAINS


def way_from(outer: Address, inner: Address) -> str | None:
    """The prefix that keys of ``inner`` have in ``outer``: empty if they are the same, None if it is elsewhere."""
    if outer.kind == inner.kind == "local" and outer.origin == inner.origin:
        return _way_between(_folder(outer.path), _folder(inner.path))
    if _bucket(outer) != _bucket(inner) or not inner.prefix.startswith(outer.prefix):
        return None
    return inner.prefix[len(outer.prefix) :]


def identity(address: Address) -> str:
    """The place in one line, for notes that outlive the run: the same however and wherever it is written."""
    if address.kind == "local":
        return os.path.realpath(address.path)
    return f"{address} at {address.origin}"


def _bucket(address: Address) -> tuple[str, ...]:
    if address.kind == "s3" and (found := _COMPATIBLE.match(address.origin)):
        return ("oci", found["namespace"], address.bucket)
    if address.kind == "s3":
        return ("s3", address.origin, address.bucket)
    return (address.kind, address.namespace, address.bucket) if address.kind == "oci" else (address.origin,)


_Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Folder:
    names: tuple[str, ...]
    """Of the path from the root, no link among them."""
    identities: tuple[_Identity, ...]
    """Of the root and of the folders on the way that exist, device and inode each."""
    device: str
    """Of its file system; empty when it is not known."""
    within: tuple[str, ...]
    """The path within that."""


def _folder(path: str) -> _Folder:
    real = os.path.realpath(path)
    names = tuple(name for name in real.split("/") if name)
    identities = []
    for depth in range(len(names) + 1):
        try:
            state = os.stat("/" + "/".join(names[:depth]))
        except OSError:
            break
        identities.append((state.st_dev, state.st_ino))
    device, within = _in_file_system(names)
    return _Folder(names, tuple(identities), device, within)


def _way_between(outer: _Folder, inner: _Folder) -> str | None:
    """By identity first, then by the place in the file system, which sees through a bind mount further down."""
    known = len(outer.identities) - 1
    missing = outer.names[known:]
    for depth in range(len(inner.identities) - 1, -1, -1):
        if inner.identities[depth] == outer.identities[known]:
            rest = inner.names[depth:]
            if rest[: len(missing)] == missing:
                return _as_prefix(rest[len(missing) :])
    if outer.device and outer.device == inner.device and inner.within[: len(outer.within)] == outer.within:
        return _as_prefix(inner.within[len(outer.within) :])
    return _way_through_a_mount(outer, inner)


def _way_through_a_mount(outer: _Folder, inner: _Folder) -> str | None:
    """Where a mount point in ``outer`` shows ``inner``, or a folder above it, that is elsewhere itself."""
    known = len(inner.identities) - 1
    if not inner.device or known < len(inner.names):
        return None
    for device, root, point in _mounts():
        if device != inner.device or inner.within[: len(root)] != root or point[: len(outer.names)] != outer.names:
            continue
        names = point + inner.within[len(root) :]
        with suppress(OSError):  # another mount may lie over it
            state = os.stat("/" + "/".join(names))
            if (state.st_dev, state.st_ino) == inner.identities[known]:
                return _as_prefix(names[len(outer.names) :])
    return None


def _as_prefix(names: tuple[str, ...]) -> str:
    return "".join(f"{name}/" for name in names)


def _in_file_system(names: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The device and the path there, from the mount that the path is on (proc_pid_mountinfo(5))."""
    found: tuple[str, tuple[str, ...]] = ("", ())
    depth = -1
    for device, root, point in _mounts():
        if len(point) >= depth and names[: len(point)] == point:  # of two at one point the later one is on top
            depth, found = len(point), (device, root + names[len(point) :])
    return found


def _mounts() -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Device, path of its root and mount point of every mount; none where the kernel does not tell."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            fields = [line.split(" ") for line in file]
    except OSError:
        return []
    return [(line[2], _names(line[3]), _names(line[4])) for line in fields if len(line) > 4]


def _names(path: str) -> tuple[str, ...]:
    plain = _OCTAL.sub(lambda code: chr(int(code[1], 8)), path)
    return tuple(name for name in plain.split("/") if name)

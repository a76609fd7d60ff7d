"""Modes and owners of everything beneath a folder, as ``chmod -R`` and ``chown -R`` set them; no link is followed.

Source: POSIX, chmod: "OPERANDS" (octal and symbolic modes) and chown.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from keepstep.errors import Error, Misuse
from keepstep.stores.local_paths import open_root, printable

_OCTAL = re.compile(r"[0-7]{1,4}")
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([rwxXst]+|[ugo])?")
_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o1007, "a": 0o7777}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000, "t": 0o1000}
_SHIFT = {"u": 6, "g": 3, "o": 0}

Change = Callable[[int], int]
"""From the mode of a file, its kind included, to its new permissions."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Numbers of a user and a group; -1 leaves it as it is."""

    user: int = -1
    group: int = -1


def mode_change(text: str) -> Change:
    """Reads ``0644``, ``u=rwX,go=rX``. Raises :class:`Misuse`."""
    if _OCTAL.fullmatch(text):
        bits = int(text, 8)
        # GNU's chmod takes no set-ID bit away from a folder by a number.
        return lambda mode: bits | (mode & 0o6000 if stat.S_ISDIR(mode) else 0)
    clauses = [_CLAUSE.fullmatch(clause) for clause in text.split(",")]
    if not all(clauses):
        raise Misuse(f"--chmod {text}: not a mode", hint="write it as for chmod: 0644, or u=rwX,go=rX")
    steps = [(found[1], _ACTION.findall(found[2])) for found in clauses if found]

    def change(mode: int) -> int:
        for who, actions in steps:
            for operator, permissions in actions:
                mode = stat.S_IFMT(mode) | _applied(stat.S_IMODE(mode), mode, who, operator, permissions)
        return stat.S_IMODE(mode)

    return change


def _applied(bits: int, mode: int, who: str, operator: str, permissions: str) -> int:
    scope = 0
    for each in who or "a":
        scope |= _WHO[each]
    wanted = _wanted(bits, permissions, is_folder=stat.S_ISDIR(mode)) & scope
    if not who:
        wanted &= ~_umask()
    match operator:
        case "+":
            return bits | wanted
        case "-":
            return bits & ~wanted
        case _:
            # chmod keeps a folder's set-ID bits unless they are named.
            kept = 0o6000 if stat.S_ISDIR(mode) and "s" not in permissions else 0
            return (bits & ~(scope & ~kept)) | wanted


def _wanted(bits: int, permissions: str, *, is_folder: bool) -> int:
    if permissions in _SHIFT:
        return (bits >> _SHIFT[permissions] & 0o7) * 0o111
    wanted = 0
    for letter in permissions:
        if letter == "X":
            wanted |= 0o111 if is_folder or bits & 0o111 else 0
        else:
            wanted |= _BITS[letter]
    return wanted


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def owner(text: str) -> Owner:
    """Reads ``USER``, ``USER:GROUP`` or ``:GROUP``, names or numbers. Raises :class:`Misuse`."""
    user, separator, group = text.partition(":")
    try:
        found = Owner(
            int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid if user else -1,
            int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid if group else -1,
        )
    except KeyError:
        raise Misuse(
            f"--chown {text}: no such user or group on this machine", hint="numbers work everywhere"
        ) from None
    if found == Owner() and not separator:
        raise Misuse("--chown: neither a user nor a group is named", hint="write USER, USER:GROUP or :GROUP")
    return found


def apply(folder: str, change: Change | None, new_owner: Owner | None) -> None:
    """Everything beneath ``folder``, and the folder, as far as possible; a link to a folder is that folder.

    Raises :class:`Error` that names the first that refuses, when the others are done.
    """
    refusals = []
    for path, name, parent in _everything(folder):
        try:
            with suppress(FileNotFoundError):
                _apply_one(name, parent, change, new_owner)
        except OSError as exc:
            refusals.append((path, exc))
    if refusals:
        path, first = refusals[0]
        more = f" (and of {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        raise Error(f"{printable(path)}: its mode or owner cannot be set: {first.strerror}{more}") from first


def _everything(folder: str) -> Iterator[tuple[str, str, int]]:
    """The path to show, the name, and the descriptor of the folder that it stands in; inner ones first."""
    try:
        root = open_root(os.path.abspath(folder), create=False)
    except FileNotFoundError:
        return
    try:
        for top, folders, files, descriptor in os.fwalk(".", topdown=False, follow_symlinks=False, dir_fd=root):
            for name in (*files, *folders):
                yield os.path.normpath(os.path.join(folder, top, name)), name, descriptor
        yield folder, ".", root
    finally:
        os.close(root)


def _apply_one(name: str, parent: int, change: Change | None, new_owner: Owner | None) -> None:
    """Of the thing itself: were it replaced by a link in this moment, the link's target would not be touched."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISLNK(mode):
            return
        itself = f"/proc/self/fd/{descriptor}"
        # The owner first: a change of owner clears set-ID bits.
        if new_owner is not None:
            os.chown(itself, new_owner.user, new_owner.group)
        if change is not None and (new := change(mode)) != stat.S_IMODE(mode):
            os.chmod(itself, new)
    finally:
        os.close(descriptor)

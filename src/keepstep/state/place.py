"""The location of the state: the only object that knows its address.

It parses the address, never shows a user or a password, opens the state to read or to write, holds the jobs' locks,
and knows the folder in which runs leave notes for later ones. A mistake in the address is explained without quoting
any of it, because a malformed address may have the password anywhere.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepstep.errors import ConfigError
from keepstep.secret import Secret
from keepstep.state.database import Database, Sqlite
from keepstep.state.lock import is_held, only_run

FORMS = "write sqlite:////path/state.db or postgresql://user:password@host/database?sslmode=verify-full"
DEFAULT = "sqlite:////var/lib/keepstep/state.db"

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]*)(?::\d{1,5})?")
_PARTS = re.compile(r"(?P<authority>[^/?#]*)(?P<path>[^?#]*)\??(?P<query>[^#]*)#?(?P<fragment>.*)", re.DOTALL)
"""The parts after ``://`` (RFC 3986, appendix B). Newer releases of urllib refuse several hosts with brackets."""
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class StatePlace:
    """One state. Two places are equal when their addresses are."""

    path: Path | None
    """The file of a SQLite state, absolute; None for PostgreSQL."""
    shown: str
    """The address without user, password and options."""
    _url: Secret
    _is_own: bool = False
    """The default state of one user: runs go on without it if it cannot be kept."""

    def __str__(self) -> str:
        return self.shown

    def open(self) -> Database:
        """Opens the state for writing; creates what is missing, and migrates older tables.

        Raises :class:`ConfigError` and :class:`Transient`.
        """
        if self.path:
            return Sqlite(self.path)
        return self._postgres(is_reader=False)

    def look(self) -> Database:
        """Opens the state for reading. Creates and changes nothing, and needs only read permission.

        Raises :class:`NotFound` if there is no state yet, :class:`ConfigError` and :class:`Transient`.
        """
        if self.path:
            return Sqlite(self.path, is_reader=True)
        return self._postgres(is_reader=True)

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        """Queries a PostgreSQL in which there may be no state yet. Changes nothing."""
        from keepstep.state.postgres import ask

        return ask(self._url, question)

    def lock(self, job: str) -> AbstractContextManager[None]:
        """Holds the job's lock, the same for all users and hosts that share the state.

        Raises :class:`Locked` at once if another run has it, and :class:`ConfigError` if locks are impossible.
        """
        if self.path:
            return only_run(job, self.path)
        from keepstep.state.shared_lock import only_run_anywhere

        return only_run_anywhere(job, self._url)

    def is_free(self, job: str) -> bool:
        """Whether the job's lock is free. It is checked, not taken, so another process may take it at any time."""
        if self.path:
            return not is_held(job, self.path)
        from keepstep.state.shared_lock import is_free

        return is_free(job, self._url)

    @property
    def is_shared(self) -> bool:
        """Whether machines share it. Their locks are sessions, which a live holder can lose for a moment."""
        return self.path is None

    @property
    def is_optional(self) -> bool:
        """Whether this state was not configured: a run then goes on even if it cannot be kept."""
        return self._is_own

    @property
    def notes(self) -> Path | None:
        """The folder for notes to later runs: that of the state, otherwise the user's. Not created."""
        if self.path and os.access(self.path.parent, os.W_OK):
            return self.path.parent
        return own_folder()

    def check_driver(self) -> None:
        """Raises :class:`ConfigError` for options that PostgreSQL's client does not know. Does not connect."""
        if not self.path:
            from keepstep.state.postgres import options_of

            options_of(self._url)

    def _postgres(self, *, is_reader: bool) -> Database:
        try:
            from keepstep.state.postgres import Postgres
        except ModuleNotFoundError as exc:
            raise ConfigError(
                f"the state is in PostgreSQL, and the library {exc.name} is not installed",
                hint="pip install 'keepstep[postgres]'",
            ) from exc
        return Postgres(self._url, self.shown, is_reader=is_reader)


def parse_place(url: str) -> StatePlace:
    """Parses ``sqlite:///path`` or ``postgresql://…``. Raises ``ValueError`` that quotes nothing of it."""
    kind, mark, rest = url.partition("://")
    if mark and kind == "sqlite":
        return _file(rest)
    if mark and kind in ("postgresql", "postgres"):
        return _server(url, rest)
    raise ValueError(f"this is not the address of a state; {FORMS}")


def place_of(url: str) -> StatePlace:
    """Like :func:`parse_place`, but raises :class:`ConfigError`."""
    try:
        return parse_place(url)
    except ValueError as exc:
        raise ConfigError(f"state.url: {exc}", hint=FORMS) from None


def default_place() -> StatePlace:
    """The default state: the machine's if this user can write it, otherwise the user's own."""
    usual = parse_place(DEFAULT)
    assert usual.path
    nearest = next(folder for folder in usual.path.parents if os.path.exists(folder))
    folder = None if os.access(nearest, os.W_OK | os.X_OK) else own_folder()
    path = folder / "state.db" if folder else usual.path
    return StatePlace(path, f"sqlite:///{path}", Secret(f"sqlite:///{path}"), True)


def own_folder() -> Path | None:
    """This user's folder for state files (XDG base directories); None without a home. Not created."""
    given = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(given):
        return Path(given) / "keepstep"
    home = os.environ.get("HOME") or _home()
    return Path(home) / ".local/state/keepstep" if home and home != "/" else None


def is_usable(folder: Path) -> bool:
    """Whether only this user can write to the folder, which is created if it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat(follow_symlinks=False)
    except OSError:
        return False
    is_ours = state.st_uid == os.getuid() and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(state.st_mode) and is_ours and os.access(folder, os.W_OK)


def _home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def _file(rest: str) -> StatePlace:
    name = rest.removeprefix("/")
    if not rest.startswith("/") or not name.strip("/") or name == ":memory:" or "\0" in name:
        raise ValueError("the path of the state is missing; write sqlite:////path/state.db, with four slashes")
    path = Path(os.path.abspath(name))
    return StatePlace(path, f"sqlite:///{path}", Secret(f"sqlite:///{path}"))


def _server(url: str, rest: str) -> StatePlace:
    """Parses the address: RFC 3986, and several hosts as in libpq (PostgreSQL's manual, 34.1.1.2)."""
    if _BROKEN_ESCAPE.search(url):
        raise ValueError("a % in the address does not start an escape; write a % in a password as %25")
    if any(ord(letter) <= 0x20 for letter in url):
        raise ValueError("the address contains a space or a control character; write a space as %20")
    parts = _PARTS.fullmatch(rest)
    assert parts  # every text has these parts, which may be empty
    hosts, database = parts["authority"].rpartition("@")[2], parts["path"].removeprefix("/")
    is_whole = all(_HOST.fullmatch(host) for host in hosts.split(","))
    if (
        parts["authority"].count("@") > 1
        or not is_whole
        or parts["fragment"]
        or "@" in parts["path"]
        or "/" in database
    ):
        raise ValueError(
            "a character of the user or password must be escaped: @ as %40, / as %2F, : as %3A, # as %23"
        )
    if "@" in parts["query"] or "?" in parts["query"]:
        raise ValueError("a ? or @ in the user or password must be escaped: ? as %3F, @ as %40")
    return StatePlace(None, f"postgresql://{hosts}/{database}", Secret(url))

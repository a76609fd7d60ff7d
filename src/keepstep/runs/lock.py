"""One run of a job at a time on this machine. The kernel frees the lock when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keepstep.errors import ConfigError, Locked


@contextmanager
def only_run(job: str, folder: Path) -> Iterator[None]:
    """Holds the job's lock. Raises :class:`Locked` at once when another run has it."""
    path = folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', job)}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise ConfigError(f"cannot open the lock file {path}: {exc.strerror}") from exc
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(
                f"another run of {job} is under way", hint=f"wait for it to end; it holds {path}"
            ) from None
        yield
    finally:
        os.close(descriptor)


def lock_folder(state_url: str) -> Path:
    """Beside the state where that is a file we may write to; else a folder of this user's own."""
    if state_url.startswith("sqlite:///"):
        folder = Path(state_url.removeprefix("sqlite:///")).parent
        if is_usable(folder):
            return folder
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) / "keepstep" if runtime else Path(f"/tmp/keepstep-{os.getuid()}")  # noqa: S108
    if not is_usable(folder):
        raise ConfigError(f"cannot keep locks in {folder}", hint="set [state] url to a folder that we may write to")
    return folder


def state_folder(state_url: str | None) -> Path | None:
    """Where runs leave notes for later ones: beside the state, or in this user's own folder (XDG). Not made."""
    if state_url is not None and state_url.startswith("sqlite:///"):
        folder = Path(state_url.removeprefix("sqlite:///")).parent
        if os.access(folder, os.W_OK):
            return folder
    state_home, home = os.environ.get("XDG_STATE_HOME"), os.environ.get("HOME")
    if state_home:
        return Path(state_home) / "keepstep"
    return Path(home) / ".local/state/keepstep" if home else None


def is_usable(folder: Path) -> bool:
    """True when the folder is ours alone to write to; it is made when it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat(follow_symlinks=False)
    except OSError:
        return False
    is_ours = state.st_uid == os.getuid() and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(state.st_mode) and is_ours and os.access(folder, os.W_OK)

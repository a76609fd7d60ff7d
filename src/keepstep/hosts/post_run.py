"""What the drop-in container does after each run: modes and owners of the whole tree, a mark of completion."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from keepstep.errors import ConfigError, Error, ExitCode
from keepstep.permissions import denied_hint


@dataclass(frozen=True, slots=True)
class PostRunHook:
    """Called with the run's exit code. Raises :class:`Error` if one of its steps fails; the others are done."""

    target: str
    """Local folder whose files and folders get mode and owner; empty if the target is not a folder."""
    local: str
    """Path of the mark of completion; empty between clouds."""
    mode: str = ""
    owner: str = ""
    completion: str = ""

    def __call__(self, code: int) -> None:
        commands = []
        target = os.path.realpath(self.target)  # neither program follows a link to the folder
        if self.mode:
            commands.append(["chmod", "-R", "--", self.mode, target])
        if self.owner:
            commands.append(["chown", "-R", "-h", "--", self.owner, target])
        if not os.path.isdir(self.target or os.devnull):
            commands = []
        complaints = [complaint for command in commands if (complaint := _carried_out(command))]
        if self.completion and self.local and code in (ExitCode.DONE, ExitCode.SKIPPED):
            self._mark()
        if complaints:
            raise Error("; ".join(complaints), hint=self._hint())

    def _hint(self) -> str:
        user = os.geteuid()
        if user == 0:
            return "see CHMOD_MODE and CHOWN_OWNER; root needs the capabilities CHOWN and FOWNER for them"
        if not self.owner:
            return f"keepstep runs as the user {user}, and only the owner can change a mode: see CHMOD_MODE"
        return (
            f"keepstep runs as the user {user}, and only root can change an owner: run the container with "
            "--user 0 --cap-drop=all --cap-add=CHOWN,FOWNER,DAC_OVERRIDE, "
            "or without CHOWN_OWNER as that owner (--user)"
        )

    def _mark(self) -> None:
        """Creates the mark after each successful run; other containers wait for it, and may remove it."""
        path = Path(self.local, self.completion)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
            os.utime(path, follow_symlinks=False)
        except OSError as exc:
            hint = denied_hint(path, exc)
            raise ConfigError(f"cannot mark completion at {path}: {exc.strerror}", hint=hint) from exc


def _carried_out(command: list[str]) -> str:
    """The error in the program's own words. Neither program follows links within the tree."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as exc:
        return f"{command[0]}: {exc.strerror}"
    lines = done.stderr.strip().splitlines()
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return f"{lines[0] if lines else command[0]}{more}" if done.returncode else ""

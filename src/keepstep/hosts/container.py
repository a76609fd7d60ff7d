"""The drop-in for periodic-s3-sync: one sync job from environment variables, at the start, on a schedule, or both.

``python -P -m keepstep.hosts.container``. Without ``SYNC_FROM``, but with a keepstep.toml, it is the daemon.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from glob import escape

from keepstep.config import find
from keepstep.errors import ConfigError, Error, ExitCode
from keepstep.hosts.children import Child
from keepstep.hosts.init import be_init
from keepstep.hosts.post_run import PostRunHook
from keepstep.hosts.work import Work, with_launch, work_of
from keepstep.stores.address import Address, parse
from keepstep.streams import secure
from keepstep.text import printable, printable_lines

PARAMS_NAME = "KEEPSTEP_PARAMS_NAME"
"""Tells the run what its user calls the job's ``params``."""
_MODES = ("PERIODIC", "STARTUP", "STARTUP+PERIODIC")
_TOML = """
[state]
url = "sqlite:///${KEEPSTEP_STATE}"
[daemon]
drain = "0s"
[job.sync]
kind = "sync"
source = "${SYNC_FROM}"
target = "${SYNC_TO}"
params = "${KEEPSTEP_PARAMS}"
"""
"""The values stay in the environment, so that nothing in them can be taken for TOML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the variables say."""

    source: Address
    target: Address
    params: str = ""
    schedule: str = "0 * * * *"
    at_startup: bool = True
    is_periodic: bool = True
    role: str = ""
    shows_session: bool = False
    mode: str = ""
    owner: str = ""
    completion: str = ""

    @property
    def local(self) -> str:
        """The folder on this side: the target's, else the source's; empty between clouds."""
        return self.target.path or self.source.path

    @property
    def toml(self) -> str:
        parts = [_TOML]
        if self.is_periodic:
            parts.append('schedule = "${CRON_SCHEDULE}"\n')
        if self.at_startup:
            parts.append("startup = true\n")
        if self.role:
            parts.append('[identity.aws]\nrole_arn = "${ROLE_ARN}"\n')
        return "".join(parts)


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Raises :class:`ConfigError` that names the variable. An empty one counts as not given, but for the mode."""
    given = {name: value for name, value in variables.items() if value}
    for name in ("SYNC_FROM", "SYNC_TO"):
        if name not in given:
            raise ConfigError(f"{name} is not set", hint="set SYNC_FROM and SYNC_TO, or mount a keepstep.toml")
    mode = given.get("SYNC_MODE", "STARTUP+PERIODIC").strip().upper()
    if mode not in _MODES:
        raise ConfigError(f"SYNC_MODE={mode} is not known", hint=f"it is one of {', '.join(_MODES)}, or empty")
    completion = given.get("COMPLETION_FILENAME", "")
    if os.path.isabs(completion) or ".." in completion.split("/"):
        raise ConfigError("COMPLETION_FILENAME leaves the folder that is synced", hint="give a name without a path")
    return Settings(
        source=_address(given, "SYNC_FROM"),
        target=_address(given, "SYNC_TO"),
        params=_params(given.get("SYNC_PARAMS", ""), completion),
        schedule=given.get("CRON_SCHEDULE", "0 * * * *"),
        at_startup="STARTUP" in mode,
        is_periodic="PERIODIC" in mode,
        role=given.get("ROLE_ARN", ""),
        shows_session=given.get("SESSION_DEBUG") == "1",
        mode=given.get("CHMOD_MODE", ""),
        owner=given.get("CHOWN_OWNER", ""),
        completion=completion,
    )


def _address(given: Mapping[str, str], name: str) -> Address:
    try:
        return parse(given[name])
    except ConfigError as exc:
        raise ConfigError(f"{name}: {exc.message}", hint=exc.hint) from None


def _params(text: str, completion: str) -> str:
    """As given, and the file that tells of completion left out."""
    try:
        shlex.split(text)
    except ValueError as exc:
        raise ConfigError(f"SYNC_PARAMS cannot be split: {exc}", hint="close every quote") from None
    return f"{text} --exclude {shlex.quote(escape(completion))}" if completion else text


def main() -> ExitCode:
    """Runs until it is done, or told to stop."""
    be_init()
    try:
        if os.environ.get("SYNC_FROM") or (path := find(os.environ.get("KEEPSTEP_CONFIG"))) is None:
            return _main()
        from keepstep.hosts.service import serve

        return serve(path)
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("keepstep"):
            raise
        error = ConfigError(
            f"the daemon needs the library {exc.name}, which is not installed",
            hint="pip install 'keepstep[daemon]'",
        )
        _say(error)
        return error.exit_code
    except Error as error:
        _say(error)
        return error.exit_code


def _main() -> ExitCode:
    if os.environ.get("SYNC_MODE", "on") == "":
        return asyncio.run(_wait())
    settings = read_settings(os.environ)
    if settings.shows_session:
        from keepstep.hosts.session import session_lines

        for line in session_lines(settings.role):
            print(printable(line), file=sys.stderr, flush=True)  # noqa: T201 - asked for
    with _temporary_folder() as folder:
        os.environ["KEEPSTEP_STATE"] = f"{folder}/state.db"
        os.environ["KEEPSTEP_PARAMS"] = settings.params
        os.environ["CRON_SCHEDULE"] = settings.schedule
        work = _work(settings)
        if not settings.is_periodic:
            return asyncio.run(_once(work))
        from keepstep.hosts.service import serve_work

        return serve_work(lambda: _work(settings))


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """For the state of this container's life."""
    try:
        return tempfile.TemporaryDirectory(prefix="keepstep-")
    except OSError as exc:
        hint = "mount a folder at /tmp, or name one: TMPDIR=/path"
        raise ConfigError(f"cannot make a temporary folder: {exc.strerror}", hint=hint) from exc


_VARIABLES = {
    "job.sync.schedule": "CRON_SCHEDULE",
    "job.sync.source": "SYNC_FROM",
    "job.sync.target": "SYNC_TO",
    "job.sync.params": "SYNC_PARAMS",
    "identity.aws.role_arn": "ROLE_ARN",
}
"""What users have set, by the key that it became."""


def _work(settings: Settings) -> Work:
    """Raises :class:`ConfigError` that names the variable."""
    try:
        work = work_of(settings.toml.encode(), called="the environment")
    except ConfigError as exc:
        message = exc.message.removeprefix("the environment: ")
        for key, variable in _VARIABLES.items():
            message = message.replace(key, variable)
        raise ConfigError(message, hint="see docs/container.md for the variables") from None
    launch = work.launches["sync"]
    care = PostRunHook(settings.target.path, settings.local, settings.mode, settings.owner, settings.completion)
    words = [word for word in launch.words if word != "--quiet"]
    named = {PARAMS_NAME: "SYNC_PARAMS"}
    return with_launch(work, "sync", words=words, says_itself=True, after=care, environment=named)


async def _once(work: Work) -> ExitCode:
    """The startup run alone; its exit code is the container's."""
    launch = work.launches["sync"]
    child = await Child.start(launch, {})
    stopping = asyncio.create_task(_stop(child))
    code = await child.ended(lambda line: None)
    stopping.cancel()
    if launch.after:
        await asyncio.to_thread(launch.after, code)
    return next((known for known in ExitCode if known == code), ExitCode.FAILED)


async def _stop(child: Child) -> None:
    await _told_to_stop()
    await child.stop()


async def _wait() -> ExitCode:
    """Does nothing, until it is told to stop."""
    await _told_to_stop()
    return ExitCode.DONE


async def _told_to_stop() -> None:
    """SIGTERM or SIGINT; as the first process of a container one has to ask for them."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


def _say(error: Error) -> None:
    print(f"error: {printable(error.message)}", file=sys.stderr)  # noqa: T201 - as the command does
    if error.hint:
        print(f"hint: {printable_lines(error.hint)}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    secure()
    sys.exit(main())

"""The drop-in for periodic-s3-sync: one sync job from environment variables, at startup, on a schedule, or both.

``python -P -m keepstep.hosts.container``. Without ``SYNC_FROM`` but with a keepstep.toml it is the daemon.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime

from keepstep.config import find
from keepstep.errors import ConfigError, Error, ExitCode, unwritable
from keepstep.hosts.children import Child
from keepstep.hosts.init import be_init
from keepstep.hosts.post_run import PostRunHook
from keepstep.hosts.work import Work, with_launch, work_of
from keepstep.jobs.environment import (
    CONFIG,
    CONTAINER_VARIABLES,
    SYNC,
    ContainerSettings,
    container_settings,
    sync_of,
)
from keepstep.jobs.resolved import PARAMS_NAME
from keepstep.runs.run import outcome_of
from keepstep.streams import secure
from keepstep.text import printable, printable_lines


def main() -> ExitCode:
    """Runs until it is done or receives a signal."""
    be_init()
    try:
        if os.environ.get("SYNC_FROM") or (path := find(os.environ.get(CONFIG))) is None:
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
    except OSError as fault:
        if known := unwritable(fault):
            _say(known)
            return known.exit_code
        raise


def _main() -> ExitCode:
    if os.environ.get("SYNC_MODE", "on") == "":
        return asyncio.run(_wait())
    settings = container_settings(os.environ)
    if settings.shows_session:
        from keepstep.hosts.session import session_lines

        for line in session_lines(sync_of(settings).settings):
            print(printable(line), file=sys.stderr, flush=True)  # noqa: T201 - asked for
    with _temporary_folder() as folder:
        os.environ["KEEPSTEP_STATE"] = f"{folder}/state.db"
        os.environ["KEEPSTEP_PARAMS"] = settings.params
        os.environ["CRON_SCHEDULE"] = settings.schedule
        work = _work(settings)
        if not settings.is_periodic:
            return asyncio.run(_once(work, settings.deadline))
        from keepstep.hosts.service import serve_work

        return serve_work(lambda: _work(settings))


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Creates a folder for the state during the life of this container."""
    try:
        return tempfile.TemporaryDirectory(prefix="keepstep-")
    except OSError as exc:
        hint = "mount a folder at /tmp, or name one: TMPDIR=/path"
        raise ConfigError(f"cannot create a temporary folder: {exc.strerror}", hint=hint) from exc


def _work(settings: ContainerSettings) -> Work:
    """Raises :class:`ConfigError` that names the variable."""
    try:
        work = work_of(settings.toml.encode(), called="the environment")
    except ConfigError as exc:
        message = exc.message.removeprefix("the environment: ")
        for key, variable in CONTAINER_VARIABLES.items():
            message = message.replace(key if key.startswith("identity.") else f"job.{SYNC}.{key}", variable)
        raise ConfigError(message, hint="see docs/container.md for the variables") from None
    launch = work.launches[SYNC]
    care = PostRunHook(settings.target.path, settings.local, settings.mode, settings.owner, settings.completion)
    words = [word for word in launch.words if word != "--quiet"]
    named = {PARAMS_NAME: CONTAINER_VARIABLES["params"]}
    return with_launch(work, SYNC, words=words, says_itself=True, after=care, environment=named)


async def _once(work: Work, limit: str) -> ExitCode:
    """Only the startup run; its exit code is the container's, and the last line says how it ended."""
    launch = work.launches[SYNC]
    began = time.monotonic()
    child = await Child.start(launch, {})
    stopping = asyncio.create_task(_stop(child))
    ended = await child.ended(lambda line: None)
    stopping.cancel()
    code = next((known for known in ExitCode if known == ended), ExitCode.FAILED)
    outcome = outcome_of(ended)
    if child.was_overdue:
        code, outcome = ExitCode.TERMINATED, "overdue"
        hint = "the next run continues; if that is always too short, start runs less often and raise SYNC_DEADLINE"
        _say(Error(f"the run was stopped after SYNC_DEADLINE={limit}", hint=hint))
    try:
        if launch.after:
            await asyncio.to_thread(launch.after, ended)
    except Error as error:
        _say(error)
        code, outcome = error.exit_code, outcome_of(error.exit_code)
    seconds = round(time.monotonic() - began, 3)
    _log("run ended", job=SYNC, outcome=outcome, exit_code=int(code), seconds=seconds)
    return code


async def _stop(child: Child) -> None:
    await _told_to_stop()
    await child.stop()


async def _wait() -> ExitCode:
    """Does nothing until it receives a signal."""
    await _told_to_stop()
    return ExitCode.DONE


async def _told_to_stop() -> None:
    """Waits for SIGTERM or SIGINT, which process 1 of a container ignores unless it handles them."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


def _log(event: str, **fields: object) -> None:
    """A line of the log, as the daemon writes it."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    print(json.dumps({"event": event, **fields, "timestamp": now}), file=sys.stderr, flush=True)  # noqa: T201


def _say(error: Error) -> None:
    print(f"error: {printable(error.message)}", file=sys.stderr)  # noqa: T201 - as the command does
    if error.hint:
        print(f"hint: {printable_lines(error.hint)}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    secure()
    sys.exit(main())

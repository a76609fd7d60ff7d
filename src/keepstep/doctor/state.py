"""Where runs are written down, how the last ones went, and who starts the next one."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from keepstep.assembly import schedule_of, watches_of
from keepstep.config import Config
from keepstep.doctor.check import Check, fail, ok, unknown
from keepstep.doctor.objects import existing
from keepstep.doctor.patient import Patient, Practice
from keepstep.doctor.probe import Probe, blocking
from keepstep.errors import ConfigError, NotFound, Transient
from keepstep.runs.conditions import conditions
from keepstep.runs.database import open_database
from keepstep.runs.durations import in_words
from keepstep.runs.history import History

_SQLITE = "sqlite:///"
_QUESTION = "SELECT to_regnamespace('keepstep') IS NOT NULL, has_database_privilege(current_database(), 'CREATE')"


def probes_of_state(config: Config) -> Iterator[Probe]:
    url = config.state.url
    about = url if url.startswith(_SQLITE) else "PostgreSQL"
    if url.startswith(_SQLITE):
        yield Probe("state", about, blocking(_sqlite, Path(url.removeprefix(_SQLITE)), about))
    else:
        yield Probe("state", about, blocking(_postgres, url))


def probes(practice: Practice, patient: Patient) -> Iterator[Probe]:
    yield Probe("schedule", patient.name, lambda: _schedule(practice, patient))
    yield Probe("history", patient.name, blocking(_history, practice, patient))


def _sqlite(path: Path, about: str) -> Check:
    folder = path.parent
    there = existing(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return fail(
            "state",
            about,
            f"we may not write {there}",
            f"install -d -m 0700 {folder}, as the user that runs keepstep",
        )
    if folder.exists() and folder.stat().st_mode & 0o022:
        return fail(
            "state", about, f"others may write {folder}, so locks cannot be kept there", f"chmod go-w {folder}"
        )
    if not path.exists():
        return ok("state", about, "will be made by the first run")
    if not os.access(path, os.R_OK | os.W_OK):
        return fail("state", about, "we may not write the file", f"chown it to the user that runs keepstep: {path}")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
            [(answer,)] = database.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as exc:
        return fail("state", about, f"it cannot be read: {exc}", f"move {path} away; the next run makes a new one")
    if answer != "ok":
        return fail("state", about, f"it is damaged: {answer}", f"move {path} away; the next run makes a new one")
    return ok("state", about, "can be written, and is whole")


def _postgres(url: str) -> Check:
    """Connects, and asks for the right that the first run needs."""
    try:
        import psycopg
    except ModuleNotFoundError as exc:
        raise ConfigError(
            "the state is in PostgreSQL, whose driver is not here", hint="pip install 'keepstep[postgres]'"
        ) from exc
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            is_there, may_create = connection.execute(_QUESTION).fetchone() or (False, False)
    except psycopg.OperationalError as exc:
        why = str(exc).strip().splitlines()
        raise Transient(f"the state does not answer: {why[-1] if why else 'no reason given'}") from None
    if not (is_there or may_create):
        fix = "GRANT CREATE ON DATABASE … TO …, or let an administrator create the schema keepstep"
        return fail("state", "PostgreSQL", "its schema is not there, and we may not create it", fix)
    return ok(
        "state", "PostgreSQL", "answers" if is_there else "answers; the first run creates the schema keepstep"
    )


async def _schedule(practice: Practice, patient: Patient) -> list[Check]:
    name, config = patient.name, practice.config
    schedule = schedule_of(patient.job)
    if schedule is None:
        return [ok("schedule", name, "has none: it runs when it is called")]
    now = practice.clock.now()
    due = schedule.after(now)
    if due is None:
        return [fail("schedule", name, f"{patient.job.schedule} never comes again", "correct schedule")]
    text = f"due in {in_words(due - now)}, at {due:%Y-%m-%d %H:%M:%S} UTC"
    if await asyncio.to_thread(_daemon_answers, config.dashboard.listen):
        return [ok("schedule", name, f"{text}; a daemon answers at {config.dashboard.listen}")]
    why = f"{text}; no daemon answers at {config.dashboard.listen}"
    return [
        unknown(
            "schedule",
            name,
            why,
            "systemctl enable --now keepstep.service, or keepstep run, or a scheduler of your own",
        )
    ]


def _daemon_answers(listen: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{listen}/healthz", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def _history(practice: Practice, patient: Patient) -> list[Check]:
    """What alerts would say now; the state is only read."""
    name = patient.name
    watch = next((each for each in watches_of(practice.config) if each.job == name), None)
    try:
        database = open_database(practice.config.state.url, create=False)
    except NotFound:
        return [ok("history", name, "has not run yet")]
    try:
        found = list(conditions(watch, History(database), practice.clock.now())) if watch else []
    finally:
        database.close()
    if not found:
        return [ok("history", name, "nothing is the matter with its last runs")]
    return [fail("history", name, each.what, f"{each.todo}; {each.command}") for each in found]

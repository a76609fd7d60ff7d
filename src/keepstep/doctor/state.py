"""Checks where runs are recorded, how the last ones went, and what starts the next one."""

from __future__ import annotations

import asyncio
import http.client
import os
import stat
from collections.abc import Iterator
from contextlib import closing

from keepstep.config import Config
from keepstep.doctor.check import Check, fail, ok, unknown
from keepstep.doctor.context import ProbeContext
from keepstep.doctor.objects import existing
from keepstep.doctor.probe import Probe, blocking
from keepstep.errors import ConfigError, NotFound
from keepstep.jobs.resolved import ResolvedJob
from keepstep.monitoring.conditions import conditions
from keepstep.monitoring.listen import Listen
from keepstep.runs.history import History
from keepstep.state.place import StatePlace
from keepstep.units import in_words


def probes_of_state(config: Config) -> Iterator[Probe]:
    place = config.state.place
    yield Probe("state", place.shown, blocking(_file if place.path else _server, place))


def probes(context: ProbeContext, job: ResolvedJob) -> Iterator[Probe]:
    yield Probe("schedule", job.name, lambda: _schedule(context, job))
    yield Probe("history", job.name, blocking(_history, context, job))


def _file(place: StatePlace) -> Check:
    assert place.path
    path, about = place.path, place.shown
    folder = path.parent
    there = existing(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        fix = f"install -d -m 0700 {folder}, as the user that runs keepstep"
        return fail("state", about, f"this user cannot write to {there}", fix)
    if os.path.exists(folder) and folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return fail("state", about, f"others can write to {folder} and replace the state", f"chmod go-w {folder}")
    if not os.path.exists(path):
        return ok("state", about, "will be created by the first run")
    if not os.access(path, os.R_OK | os.W_OK):
        return fail(
            "state",
            about,
            "this user cannot write to it",
            f"change the owner to the user that runs keepstep: {path}",
        )
    try:
        with closing(place.look()) as database:
            [(answer,)] = database.read(lambda query: query("PRAGMA quick_check(1)"))
    except ConfigError as exc:
        return fail("state", about, exc.message, f"move {path} away; the next run creates a new one")
    if answer != "ok":
        return fail("state", about, f"it is damaged: {answer}", f"move {path} away; the next run creates a new one")
    return ok("state", about, "is writable and intact")


_RIGHTS = "SELECT current_user, bool_and(has_table_privilege(tablename::regclass, 'INSERT, UPDATE, DELETE'))"
_OF_TABLES = " FROM pg_tables WHERE schemaname = 'keepstep'"
_MAY_CREATE = "SELECT current_user, has_database_privilege(current_database(), 'CREATE')"


def _server(place: StatePlace) -> Check:
    """Connects read-only, and checks the privileges that runs need. Creates nothing."""
    about = place.shown
    try:
        database = place.look()
    except NotFound:
        user, may_create = _first_row(place)
        if may_create:
            return ok("state", about, "responds; the first run creates the schema keepstep")
        fix = f'CREATE SCHEMA keepstep AUTHORIZATION "{user}"'
        return fail("state", about, "its schema does not exist, and this user may not create it", fix)
    try:
        [(user, may_write)] = database.read(lambda query: query(_RIGHTS + _OF_TABLES))
    finally:
        database.close()
    if not may_write:
        fix = f'GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA keepstep TO "{user}"'
        return fail("state", about, f"{user} can read it but not write to it", fix)
    return ok("state", about, "responds and is writable")


def _first_row(place: StatePlace) -> tuple[str, bool]:
    [(user, may_create)] = place.ask(_MAY_CREATE)
    return user, may_create


async def _schedule(context: ProbeContext, job: ResolvedJob) -> list[Check]:
    name, config = job.name, context.config
    schedule = job.schedule
    if schedule is None:
        return [ok("schedule", name, "has none: it runs only when started by hand or by another scheduler")]
    now = context.clock.now()
    due = schedule.after(now)
    if due is None:
        return [fail("schedule", name, f"{job.job.schedule} never occurs again", "correct schedule")]
    text = f"due in {in_words(due - now)}, at {due:%Y-%m-%d %H:%M:%S} UTC"
    if await asyncio.to_thread(_daemon_answers, config.dashboard.listen):
        return [ok("schedule", name, f"{text}; a daemon is running at {config.dashboard.listen}")]
    why = f"{text}; no daemon is running at {config.dashboard.listen}"
    return [
        unknown(
            "schedule",
            name,
            why,
            "systemctl enable --now keepstep.service, or keepstep run, or use another scheduler",
        )
    ]


def _daemon_answers(listen: str) -> bool:
    """Connects directly, because a proxy from the environment does not apply to this machine itself."""
    try:
        place = Listen.parse(listen)
        connection = http.client.HTTPConnection(place.host, place.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status in (200, 503)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _history(context: ProbeContext, job: ResolvedJob) -> list[Check]:
    """The alerts that would be raised now; only reads the state."""
    name = job.name
    try:
        database = context.config.state.place.look()
    except NotFound:
        return [ok("history", name, "has not run yet")]
    with closing(database):
        history, now = History(database), context.clock.now()
        found = list(conditions(job.watch, history.last_told(name, now), history, now))
    if not found:
        return [ok("history", name, "its last runs raised no alert")]
    return [fail("history", name, each.what, f"{each.todo}; {each.command}") for each in found]

"""``keepstep status``: shows the state of every job, or the runs of one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from keepstep.cli.options import merge_globals, needed_config_file
from keepstep.clock import SystemClock
from keepstep.config import Config, job_of, load
from keepstep.jobs.assembly import alerting_of
from keepstep.jobs.option_parsing import Command, global_options
from keepstep.jobs.resolve import resolve
from keepstep.monitoring.alerting import Alerting
from keepstep.monitoring.overview import Overview, overview
from keepstep.monitoring.words import achievement
from keepstep.runs.history import History
from keepstep.runs.run import MEANINGS, Run
from keepstep.text import shown
from keepstep.units import counted, in_words

_SHOWN = 20
"""Maximum runs of one job."""
_LINE = 1000
"""Characters."""
_WORDS = 100
"""Maximum failures and warnings of one run; the page has all."""


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("job", required=False)
@global_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Show the state of every job; with JOB, its last runs and the messages of the latest."""
    options = merge_globals(ctx, options)
    path = needed_config_file(ctx)
    config = load(path)
    if options["job"]:
        job_of(config, options["job"])
    history = History(config.state.place.look())
    now = SystemClock().now()
    names = [options["job"]] if options["job"] else list(config.job)
    views = [_view(config, name, history, now) for name in names]
    if options["as_json"]:
        click.echo(json.dumps(_document(views, history, options["job"]), default=_iso))
        return
    lines = (
        _one(views[0], history, now) if options["job"] else _table([_HEAD, *(_row(view, now) for view in views)])
    )
    for line in [*lines, *_alerts(alerting_of(config, history.database), names, now)]:
        click.echo(shown(line, _LINE))


def _alerts(alerting: Alerting, names: list[str], now: datetime) -> Iterable[str]:
    """Active alerts of these jobs, and messages that a channel has not accepted."""
    for (job, _), alert in sorted(alerting.active().items()):
        if job in names:
            yield f"alert: {alert.text} (for {in_words(now - alert.since)}, notified {_times(alert.times)})"
    for trouble in alerting.waiting():
        attempts = counted(trouble.attempts, "attempt")
        yield f"warning: {trouble.channel} does not accept alerts ({attempts}): {trouble.error}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _view(config: Config, name: str, history: History, now: datetime) -> Overview:
    job = resolve(config, name)
    return overview(history, name, job.kind, job.schedule, now)


_HEAD = ("JOB", "KIND", "STATE", "WHEN", "TOOK", "DID", "NEXT")


def _row(view: Overview, now: datetime) -> tuple[str, ...]:
    run = view.running or view.last
    if run is None:
        return (view.job, view.kind, view.word, "", "", "", _ahead(view.next, now))
    return (
        view.job,
        view.kind,
        view.state(now),
        _ago(run, now),
        _took(run, now),
        achievement(run),
        _ahead(view.next, now),
    )


def _ago(run: Run, now: datetime) -> str:
    return f"{in_words(now - (run.finished or run.started or run.queued))} ago"


def _took(run: Run, now: datetime) -> str:
    return in_words((run.finished or now) - run.started) if run.started else ""


def _ahead(moment: datetime | None, now: datetime) -> str:
    return f"in {in_words(moment - now)}" if moment else "on demand"


def _one(view: Overview, history: History, now: datetime) -> Iterable[str]:
    """A job's runs, newest first, and the messages of the latest finished one."""
    facts = view.facts
    yield f"{view.job} ({view.kind}): {view.state(now)}"
    yield f"next run: {_ahead(view.next, now)}" + (f", {view.next.astimezone():%F %T %Z}" if view.next else "")
    if facts:
        yield f"last success: {_when(facts.last_success, now)}"
    yield ""
    runs = history.recent(view.job, _SHOWN)
    head = ("RUN", "STARTED", "TOOK", "OUTCOME", "WHY", "DID", "COST", "HOST")
    yield from _table([head, *(_run_row(run, now) for run in runs)])
    if view.last:
        yield from _words_of(view.last, history)


def _run_row(run: Run, now: datetime) -> tuple[str, ...]:
    cost = f"${run.price:.4f}" if run.price else ""
    started = (run.started or run.queued).astimezone(UTC)
    return (run.id, f"{started:%F %TZ}", _took(run, now), run.outcome, run.cause, achievement(run), cost, run.host)


def _words_of(run: Run, history: History) -> Iterable[str]:
    lines = history.lines(run.id)
    if run.outcome in MEANINGS:
        yield ""
        yield f"{run.id}: {MEANINGS[run.outcome]}"
    said = [line for line in lines if line.kind in ("failure", "warning")]
    for line in said[:_WORDS]:
        if line.kind == "failure":
            where = line.body.get("target") or line.body.get("source")
            yield f"error: {where}: {line.body['error']}" if where else f"error: {line.body['error']}"
            if line.body.get("hint"):
                yield f"hint: {line.body['hint']}"
        elif line.kind == "warning":
            yield f"warning: {line.body['text']}"
    if len(said) > _WORDS:
        yield f"and {len(said) - _WORDS} more; keepstep dashboard shows them"


def _when(moment: datetime | None, now: datetime) -> str:
    return f"{in_words(now - moment)} ago, {moment.astimezone():%F %T %Z}" if moment else "never"


def _table(rows: list[tuple[str, ...]]) -> Iterable[str]:
    """Formats columns as wide as their widest cell; empty ones are omitted."""
    rows = [tuple(shown(cell, 200) for cell in row) for row in rows]
    kept = [n for n in range(len(rows[0])) if any(row[n] for row in rows[1:])] if rows[1:] else range(len(rows[0]))
    widths = {n: max(len(row[n]) for row in rows) for n in kept}
    for row in rows:
        yield "  ".join(row[n].ljust(widths[n]) for n in kept).rstrip()


def _document(views: list[Overview], history: History, job: str | None) -> dict[str, Any]:
    """The full state, for programs; times in ISO 8601."""
    active = Alerting(history.database, {}, timedelta(0)).active()
    jobs = []
    for view in views:
        raised = [{"condition": name, **asdict(alert)} for (of, name), alert in active.items() if of == view.job]
        jobs.append(asdict(view) | {"state": view.word, "alerts": raised})
    document: dict[str, Any] = {"version": 1, "kind": "status", "jobs": jobs}
    if job:
        document["runs"] = [asdict(run) for run in history.recent(job, _SHOWN)]
    return document


def _iso(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()

"""Metrics in Prometheus's format, served by the daemon or written to a file for node_exporter.

Counters are sums over all runs ever, kept in the state; they survive restarts and are the same on every machine
that shares it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from keepstep import __version__
from keepstep.errors import ConfigError
from keepstep.monitoring.alerting import Alerting
from keepstep.monitoring.conditions import Watch
from keepstep.monitoring.overview import Overview, overview
from keepstep.runs.history import History

MEDIA_TYPE: str = CONTENT_TYPE_LATEST

JOB = "keepstep_job"
"""The label that names a job. Prometheus adds its own label ``job`` to every series, the name of the scrape
configuration, and would rename an existing one to ``exported_job`` (its documentation: "Jobs and instances",
``honor_labels``)."""

_TOTALS = {
    "runs": ("keepstep_runs", "Finished runs, by outcome.", [JOB, "outcome"]),
    "seconds": ("keepstep_run_seconds", "Total duration of runs.", [JOB]),
    "bytes": ("keepstep_bytes", "Bytes written to targets.", [JOB]),
    "price": ("keepstep_request_cost_dollars", "Estimated cost of requests.", [JOB]),
    "actions": ("keepstep_actions", "Actions of runs, as named in the run report.", [JOB, "action"]),
    "requests": ("keepstep_requests", "Requests sent to the clouds.", [JOB, "operation"]),
}
"""Name without ``_total``, help text and label of each sum in the state."""


def render(history: History, alerting: Alerting, watches: Iterable[Watch], now: datetime) -> bytes:
    """The metrics of all jobs in the text format."""
    registry = CollectorRegistry()
    registry.register(_State(history, alerting, list(watches), now))
    text: bytes = generate_latest(registry)
    return text


def write_textfile(path: Path, text: bytes) -> None:
    """Replaces the file atomically; everybody can read it. Raises :class:`ConfigError`."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with open(descriptor, "wb") as file:
                file.write(text)
                os.fchmod(descriptor, 0o644)
            os.replace(name, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
    except OSError as exc:
        raise ConfigError(f"cannot write metrics to {path}: {exc.strerror}", hint="see [metrics] textfile") from exc


class _State(Collector):
    def __init__(self, history: History, alerting: Alerting, watches: list[Watch], now: datetime) -> None:
        self._history = history
        self._alerting = alerting
        self._watches = watches
        self._now = now

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("keepstep_build", "The running version.", {"version": __version__})
        yield from self._totals()
        yield from self._jobs()
        yield from self._alerts()

    def _totals(self) -> Iterator[Metric]:
        families = {name: CounterMetricFamily(*words[:2], labels=words[2]) for name, words in _TOTALS.items()}
        for (job, name, label), value in sorted(self._history.totals().items()):
            labels = [job, label] if len(_TOTALS[name][2]) == 2 else [job]
            families[name].add_metric(labels, value)
        yield from families.values()

    def _jobs(self) -> Iterator[Metric]:
        views = [overview(self._history, each.job, each.kind, each.schedule, self._now) for each in self._watches]
        for name, words, read in _GAUGES:
            family = GaugeMetricFamily(f"keepstep_{name}", words, labels=[JOB, "kind"])
            for view in views:
                if (value := read(view)) is not None:
                    family.add_metric([view.job, view.kind], value)
            yield family

    def _alerts(self) -> Iterator[Metric]:
        raised = GaugeMetricFamily("keepstep_alert_active", "Active alerts.", labels=[JOB, "condition"])
        for job, name in sorted(self._alerting.active()):
            raised.add_metric([job, name], 1)
        waiting = GaugeMetricFamily(
            "keepstep_alert_messages_refused", "Messages that a channel has not accepted yet.", labels=["channel"]
        )
        channels = [trouble.channel for trouble in self._alerting.waiting()]
        for channel in sorted(set(channels)):
            waiting.add_metric([channel], channels.count(channel))
        yield from (raised, waiting)


def _at(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _took(view: Overview) -> float | None:
    took = view.last.duration if view.last else None
    return took.total_seconds() if took else None


_GAUGES = (
    ("run_running", "Whether a run is in progress.", lambda view: float(view.running is not None)),
    (
        "last_run_timestamp_seconds",
        "When the last run finished.",
        lambda view: view.last and _at(view.last.finished),
    ),
    ("last_run_duration_seconds", "How long the last run took.", _took),
    ("last_run_exit_code", "Outcome of the last run.", lambda view: view.last and view.last.exit_code),
    ("last_run_failed", "Whether the last run failed.", lambda view: view.last and float(not view.last.is_good)),
    (
        "last_success_timestamp_seconds",
        "When a run last succeeded.",
        lambda v: v.facts and _at(v.facts.last_success),
    ),
    (
        "last_new_timestamp_seconds",
        "When a run last transferred an object.",
        lambda v: v.facts and _at(v.facts.last_new),
    ),
    ("next_run_timestamp_seconds", "When the next run is due.", lambda view: _at(view.next)),
)
"""Name, help text and a function for the value of a job, which is None if there is none."""

"""Records a run while it is in progress: its start, signs of life, progress and outcome.

A run that a host started gets its id from ``KEEPSTEP_RUN``. A host without a state passes a descriptor in
``KEEPSTEP_RECORD_FD``, to which the run writes its record as one line of JSON.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, replace
from itertools import islice
from types import TracebackType
from typing import Any

from keepstep.clock import Clock, SystemClock
from keepstep.errors import Error, ExitCode, Locked, Transient
from keepstep.runs.history import History
from keepstep.runs.lifecycle import Line
from keepstep.runs.prices import price_of
from keepstep.runs.report import Failure, Report
from keepstep.runs.run import Run, new_id, outcome_of

log = logging.getLogger(__name__)

RUN = "KEEPSTEP_RUN"
CAUSE = "KEEPSTEP_CAUSE"
RECORD = "KEEPSTEP_RECORD_FD"
DEADLINE = "KEEPSTEP_DEADLINE"
"""Seconds of this machine's monotonic clock; a run that is stopped after this moment was overdue."""

_BEAT = 5.0
"""Seconds between signs of life."""
_KEPT = {"failure": 1000, "warning": 1000, "action": 10_000}
"""Maximum lines of each kind; the counts include all."""
_UNCHANGED = ("keep", "skip")
"""Actions that changed nothing: they are counted, but not recorded."""
_LONGEST = 4096
"""Maximum characters of a recorded text."""
_HANDED_IN = 100
"""Maximum failures, warnings and actions in a record for the host."""


class Recording(AbstractContextManager["Recording"]):
    """Records one run. Set ``report`` as soon as there is one; an :class:`Error` that is raised is recorded too.

    A run that an exception ended is never recorded as a success, whatever its report says.
    """

    def __init__(
        self,
        job: str,
        kind: str,
        history: History | None,
        *,
        source: str = "",
        target: str = "",
        progress: Callable[[], Mapping[str, Any] | None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self.report: Report | None = None
        self.progress = progress
        self._clock = clock or SystemClock()
        self._history = history
        self._is_expected = True
        now = self._clock.now()
        self.run = Run(
            id=os.environ.get(RUN) or new_id(now),
            job=job,
            kind=kind,
            host=socket.gethostname(),
            cause=os.environ.get(CAUSE, "hand"),
            queued=now,
            started=now,
            seen=now,
            outcome="running",
            source=source or None,
            target=target or None,
        )
        self._ended = threading.Event()
        self._beating: threading.Thread | None = None

    @property
    def keeps_actions(self) -> bool:
        """Whether the report should list its actions, because the history stores them."""
        return self._history is not None or RECORD in os.environ

    def __enter__(self) -> Recording:
        """Raises :class:`Locked` if the run has been given up and must do nothing."""
        if self._history and self._has_begun(self._history):
            self._beating = threading.Thread(target=self._beat, args=(self._history,), daemon=True, name="beat")
            self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._beating:
            self._beating.join()
        self._conclude(error)
        if self._history and self._is_expected:
            _insist(lambda history: history.end(self.run, self._lines(error)), self._history)
        if descriptor := os.environ.get(RECORD):
            self._hand_in(int(descriptor), error)

    def _has_begun(self, history: History) -> bool:
        """Takes over the row that the host created, or creates one. Earlier runs that died are recorded as lost.

        A run that a daemon claimed does nothing until the state confirms that it is still expected. A run by hand
        goes ahead even if it cannot be recorded.
        """
        run, given = self.run, os.environ.get(RUN)
        if given:
            self.run = replace(run, **_claimed(history, run))
            return True
        try:
            for other in history.open():
                if other.job == run.job and other.started:
                    history.lose(other, at=self._clock.now())
            history.begin(run)
        except Error as exc:
            log.warning("this run is not being recorded: %s", exc.message)
            self._history = None
            return False
        return True

    def _beat(self, history: History) -> None:
        while not self._ended.wait(_BEAT):
            with suppress(Error):
                if not history.beat(self.run.id, at=self._clock.now(), progress=self.progress()):
                    log.warning("run %s was given up by the daemon; stopping", self.run.id)
                    self._is_expected = False
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

    def _conclude(self, error: BaseException | None) -> None:
        report, now = self.report, self._clock.now()
        code = (report and report.exit_code) or _code_of(error)
        outcome = outcome_of(code)
        if outcome == "terminated" and time.monotonic() >= float(os.environ.get(DEADLINE, "inf")):
            outcome = "overdue"
        self.run = replace(self.run, finished=now, seen=now, exit_code=int(code), outcome=outcome)
        if report:
            clouds = " ".join(address.partition(":")[0] for address in (report.source, report.target))
            self.run = replace(
                self.run,
                source=report.source,
                target=report.target,
                bytes=report.bytes,
                counts=dict(report.counts),
                requests=dict(report.requests),
                price=price_of(report.requests, clouds=clouds),
            )

    def _lines(self, error: BaseException | None) -> Iterator[Line]:
        return (Line(line.kind, _shortened(line.body)) for line in self._all_lines(error))

    def _all_lines(self, error: BaseException | None) -> Iterator[Line]:
        report = self.report
        if isinstance(error, Error) and not (report and report.failures):
            yield Line("failure", Failure.of("run", error)._asdict())
        if report is None:
            return
        yield from (Line("failure", line._asdict()) for line in islice(report.failures, _KEPT["failure"]))
        yield from (Line("warning", {"text": text}) for text in islice(report.warnings, _KEPT["warning"]))
        for concern in report.concerns:
            yield Line("concern", concern._asdict() | {"since": concern.since.isoformat()})
        done = (line for line in report.actions or () if line.action not in _UNCHANGED)
        yield from (Line("action", line._asdict()) for line in islice(done, _KEPT["action"]))

    def _hand_in(self, descriptor: int, error: BaseException | None) -> None:
        record: dict[str, Any] = {"version": 1, **asdict(self.run)}
        lines = list(self._lines(error))
        record["failures"] = [line.body for line in lines if line.kind == "failure"][:_HANDED_IN]
        record["actions"] = [line.body for line in lines if line.kind == "action"][:_HANDED_IN]
        record["warnings"] = [line.body["text"] for line in lines if line.kind == "warning"][:_HANDED_IN]
        with suppress(OSError), open(descriptor, "w") as out:
            json.dump(record, out, default=lambda moment: moment.isoformat())
            out.write("\n")


def _shortened(body: dict[str, Any]) -> dict[str, Any]:
    """Shortens a text: a server's message may be a megabyte."""
    return {key: value[:_LONGEST] if isinstance(value, str) else value for key, value in body.items()}


def _code_of(error: BaseException | None) -> int:
    if isinstance(error, Error):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(bool(error.code))
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return ExitCode.DONE if error is None else -1


def _claimed(history: History, run: Run) -> dict[str, Any]:
    """Reads the row of a claimed run. Raises :class:`Locked` if the run is no longer expected."""
    known: list[Run | None] = []

    def start(history: History) -> None:
        found = history.get(run.id)
        is_ours = found is not None and (history.start(run) or _is_started(history, run))
        known.append(found if is_ours else None)

    for attempt in _patiently():
        with attempt:
            start(history)
    found = known[-1]
    if found is None:
        raise Locked(
            f"run {run.id} of {run.job} is no longer expected", hint="another daemon gave it up and has taken over"
        )
    return {"cause": found.cause, "queued": found.queued, "due": found.due, "kind": found.kind}


def _is_started(history: History, run: Run) -> bool:
    """Whether this process already started the run, in a transaction whose response was lost."""
    found = history.get(run.id)
    return bool(found and found.outcome == "running" and found.started == run.started and found.host == run.host)


def _patiently() -> Iterable[Any]:
    import stamina

    return stamina.retry_context(on=Transient, attempts=8, timeout=60.0, wait_max=15.0)


def _insist(work: Callable[[History], object], history: History) -> None:
    """Retries for a minute to record the outcome. Failing to do so does not fail the run."""
    try:
        for attempt in _patiently():
            with attempt:
                work(history)
    except Error as exc:
        log.warning("the outcome of this run could not be recorded: %s", exc.message)

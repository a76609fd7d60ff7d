"""Writes a run down while it goes: begun, alive, so far, and how it ended.

A run that a host started finds its id in ``KEEPSTEP_RUN``; where the host keeps no state it gives the run a file,
``KEEPSTEP_RECORD_FD``, to hand in its record as one line of JSON.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from itertools import islice
from types import TracebackType
from typing import Any

from keepstep.clock import Clock, SystemClock
from keepstep.errors import Error, ExitCode, Transient
from keepstep.runs.database import open_database
from keepstep.runs.history import History, Line
from keepstep.runs.prices import price_of
from keepstep.runs.report import Failure, Report
from keepstep.runs.run import Run, new_id, outcome_of

log = logging.getLogger(__name__)

RUN = "KEEPSTEP_RUN"
CAUSE = "KEEPSTEP_CAUSE"
RECORD = "KEEPSTEP_RECORD_FD"
DEADLINE = "KEEPSTEP_DEADLINE"
"""Seconds since 1970; a run that is told to stop from then on was overdue."""

_BEAT = 5.0
"""Seconds between signs of life."""
_KEPT = {"failure": 1000, "warning": 1000, "action": 10_000}
"""So many lines of each kind; the counts tell of all."""
_HANDED_IN = 100
"""Failures, warnings and actions in a record that is handed in."""


class Recording(AbstractContextManager["Recording"]):
    """One run. Set ``report`` as soon as there is one; an :class:`Error` that passes by is recorded too."""

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
        """Whether the report should list its actions, because the history takes them."""
        return self._history is not None or RECORD in os.environ

    def __enter__(self) -> Recording:
        if self._history:
            self._begin(self._history)
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
        if self._history:
            _insist(lambda history: history.end(self.run, self._lines(error)), self._history)
        if descriptor := os.environ.get(RECORD):
            self._hand_in(int(descriptor), error)

    def _begin(self, history: History) -> None:
        """Takes over the row that the host made, or makes one. Runs that died with the job's lock are ended."""
        run = self.run
        if given := history.get(run.id):
            self.run = replace(given, host=run.host, started=run.started, source=run.source, target=run.target)
            assert run.started
            history.start(run.id, host=run.host, at=run.started, source=run.source or "", target=run.target or "")
        else:
            history.begin(run)
        for other in history.open():
            if other.job == run.job and other.id != run.id and other.started:
                history.end(replace(other, outcome="lost", finished=self._clock.now()))

    def _beat(self, history: History) -> None:
        while not self._ended.wait(_BEAT):
            with suppress(Error):
                history.beat(self.run.id, at=self._clock.now(), progress=self.progress())

    def _conclude(self, error: BaseException | None) -> None:
        report, now = self.report, self._clock.now()
        code = report.exit_code if report else _code_of(error)
        outcome = outcome_of(code)
        if outcome == "terminated" and now.timestamp() >= float(os.environ.get(DEADLINE, "inf")):
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
        report = self.report
        if isinstance(error, Error) and not (report and report.failures):
            yield Line("failure", Failure.of("run", error)._asdict())
        if report is None:
            return
        yield from (Line("failure", line._asdict()) for line in islice(report.failures, _KEPT["failure"]))
        yield from (Line("warning", {"text": text}) for text in islice(report.warnings, _KEPT["warning"]))
        for concern in report.concerns:
            yield Line("concern", concern._asdict() | {"since": concern.since.isoformat()})
        yield from (Line("action", line._asdict()) for line in islice(report.actions or (), _KEPT["action"]))

    def _hand_in(self, descriptor: int, error: BaseException | None) -> None:
        record: dict[str, Any] = {"version": 1, **asdict(self.run)}
        lines = list(self._lines(error))
        record["failures"] = [line.body for line in lines if line.kind == "failure"][:_HANDED_IN]
        record["actions"] = [line.body for line in lines if line.kind == "action"][:_HANDED_IN]
        record["warnings"] = [line.body["text"] for line in lines if line.kind == "warning"][:_HANDED_IN]
        with suppress(OSError), open(descriptor, "w") as out:
            json.dump(record, out, default=lambda moment: moment.isoformat())
            out.write("\n")


def _code_of(error: BaseException | None) -> int:
    if isinstance(error, Error):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(bool(error.code))
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return ExitCode.DONE if error is None else -1


def _insist(work: Callable[[History], object], history: History) -> None:
    """The last word of a run is worth a minute of patience, and no failure of the run."""
    import stamina

    try:
        for attempt in stamina.retry_context(on=Transient, attempts=8, timeout=60.0, wait_max=15.0):
            with attempt:
                work(history)
    except Error as exc:
        log.warning("how this run ended could not be recorded: %s", exc.message)


def open_history(url: str) -> History:
    """The history at that address; it is made when there is none. Raises :class:`Error`."""
    return History(open_database(url))


def shared_lock(job: str, url: str) -> AbstractContextManager[None]:
    """The job's lock on all machines that share the state; a state in a file is one machine's own."""
    if url.startswith("sqlite:"):
        return nullcontext()
    from keepstep.runs.shared_lock import only_run_anywhere

    return only_run_anywhere(job, url)

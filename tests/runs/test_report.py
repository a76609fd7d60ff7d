"""The report: one JSON document, whatever is in it, and no memory that grows with it."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.errors import Denied, ExitCode
from keepstep.runs.records import Records
from keepstep.runs.report import Action, Failure, Report, action_log
from keepstep.secret import Secret

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
examples = settings(deadline=None, derandomize=True, max_examples=60)

names = st.text() | st.just('line\nbreak \u2028 \udcff "quoted" \\ </script>')
actions = st.builds(Action, st.sampled_from(["copy", "delete", "skip"]), names | st.none(), names, st.none(), names)


def report(**fields: Any) -> Report:
    return Report("sync", "s3://a/", "/b", STARTED, **fields)


def document(of: Report) -> dict[str, Any]:
    of.write_json(out := StringIO())
    assert out.getvalue().endswith("}\n")
    return json.loads(out.getvalue())  # type: ignore[no-any-return]


def test_an_empty_report_has_every_field() -> None:
    """What scripts read is always there: counts are 0, lists empty, times in ISO 8601."""
    assert document(report()) == {
        "version": 1,
        "kind": "sync",
        "source": "s3://a/",
        "target": "/b",
        "dryrun": False,
        "started": "2026-01-02T03:04:05+00:00",
        "finished": None,
        "exit_code": 0,
        "outcome": "done",
        "counts": dict.fromkeys(
            ("upload", "download", "copy", "delete", "skip", "failed", "unchanged", "warnings"), 0
        ),
        "bytes": 0,
        "requests": {},
        "warnings": [],
        "failures": [],
        "actions": [],
    }


@examples
@given(st.lists(actions, max_size=8), st.lists(names, max_size=4))
def test_whatever_happened_comes_back(done: list[Action], said: list[str]) -> None:
    """Any names and messages, line breaks and bytes that are no text among them, read back as they were."""
    made = report(actions=action_log(), exit_code=ExitCode.FAILED, finished=STARTED, is_dryrun=True)
    assert made.actions is not None
    for action in done:
        made.actions.add(action)
    for text in said:
        made.warn(text)
        made.fail(Failure.of("copy", Denied(text, hint=text), source=text))
    made.requests["GetObject"] += 3
    read = document(made)
    assert read["actions"] == [action._asdict() for action in done]
    assert read["warnings"] == said
    assert [(f["error"], f["hint"], f["source"], f["target"]) for f in read["failures"]] == [
        (text, text, text, None) for text in said
    ]
    assert (read["counts"]["warnings"], read["counts"]["failed"]) == (len(said), len(said))
    assert (read["exit_code"], read["outcome"], read["dryrun"]) == (1, "failed", True)
    assert read["requests"] == {"GetObject": 3}
    assert list(made.actions) == done


@examples
@given(st.lists(st.one_of(st.text(max_size=300), st.none()), max_size=30))
def test_records_may_be_read_while_they_are_written(steps: list[str | None]) -> None:
    """Reading a part of them, or all, in between (None), loses and repeats nothing."""
    records: Records[str] = Records(str, str)
    kept: list[str] = []
    for step in steps:
        if step is None:
            reader: Iterator[str] = iter(records)
            assert next(reader, None) == (kept[0] if kept else None)
        else:
            records.add(step)
            kept.append(step)
    assert list(records) == kept == list(records)
    assert len(records) == len(kept)


def test_actions_are_streamed() -> None:
    """A report of 15,000 actions is written a line at a time, and needs no more memory than one of a few."""

    class Lines:
        """Counts what is written."""

        characters = longest = 0

        def write(self, text: str) -> int:
            self.characters += len(text)
            self.longest = max(self.longest, len(text))
            return len(text)

    made = report(actions=action_log())
    assert made.actions is not None
    action = Action("copy", "s3://bucket/some/key", "/some/path", 12345, "only at the source")
    tracemalloc.start()
    try:
        for _ in range(15_000):
            made.actions.add(action)
        made.write_json(out := Lines())  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert out.characters > 1_500_000
    assert out.longest < 1000
    assert peak < 2_500_000


def test_a_secret_cannot_be_put_into_a_report() -> None:
    """A value that must not be seen is refused, rather than written or starred out."""
    made = report(actions=action_log())
    assert made.actions is not None
    with pytest.raises(TypeError):
        made.actions.add(Action("copy", Secret("hush"), "b", 1, ""))  # type: ignore[arg-type]
    assert "hush" not in str(document(made))

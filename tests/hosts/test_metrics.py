"""Metrics: as Prometheus's own parser reads them, from the daemon, from a file, and as CloudWatch finds them."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from keepstep.hosts.emf import emf_line
from tests.hosts.fixtures import COPY, Place


def samples(text: str) -> dict[tuple[str, str], float]:
    """Values by name and by the label that says more than the job."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            more = [value for name, value in sample.labels.items() if name not in ("keepstep_job", "kind")]
            found[sample.name, "".join(more)] = sample.value
    return found


def test_the_daemon_is_scraped(place: Place) -> None:
    """Counters and times of every job; counters go on where an earlier daemon left them."""
    place.configure(COPY + "startup = true\n")
    place.source(a="1", b="22")
    for _ in range(2):
        with place.daemon() as daemon:
            daemon.wait("run ended", len(daemon.events("run ended")) or 1, job="copy", outcome="done")
            status, text = daemon.get("metrics")
            daemon.stop()
        daemon.log.unlink()
    found = samples(text)
    assert status == 200
    assert found["keepstep_runs_total", "done"] == 2
    assert found["keepstep_bytes_total", ""] == 3
    assert found["keepstep_actions_total", "copy"] == 2
    assert found["keepstep_last_run_exit_code", ""] == 0
    assert found["keepstep_run_running", ""] == 0
    assert found["keepstep_next_run_timestamp_seconds", ""] > found["keepstep_last_success_timestamp_seconds", ""]


def test_one_shot_runs_write_a_file(place: Place) -> None:
    """After every run of a job, whatever becomes of it, the file is whole, and everybody may read it."""
    path = place.folder / "keepstep.prom"
    place.configure(f'[metrics]\ntextfile = "{path}"\n{COPY}')
    assert place.keepstep("sync", "copy").returncode == 5
    found = samples(path.read_text())
    assert found["keepstep_runs_total", "misconfigured"] == 1
    assert found["keepstep_alert_active", "failed"] == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    place.source()
    assert place.keepstep("sync", "copy").returncode == 0
    found = samples(path.read_text())
    assert found["keepstep_runs_total", "done"] == 1
    assert ("keepstep_alert_active", "failed") not in found
    assert [each.name for each in place.folder.glob("*prom*")] == ["keepstep.prom"]


def test_a_file_that_cannot_be_written_fails_no_run(place: Place) -> None:
    """It is a warning; the run's own exit code stands."""
    place.configure(f'[metrics]\ntextfile = "{place.folder}/none/k.prom"\n{COPY}')
    place.source()
    result: subprocess.CompletedProcess[str] = place.keepstep("sync", "copy")
    assert result.returncode == 0
    assert "cannot write metrics" in result.stderr


def test_cloudwatch_finds_its_metrics() -> None:
    """Every metric that the directive names is there, with the dimensions, in one line."""
    record = {"job": "reports", "kind": "sync", "counts": {"upload": 2}, "bytes": 7, "requests": {"PutObject": 2}}
    line = emf_line(record, seconds=1.5, is_good=True, now=datetime(2026, 1, 1, tzinfo=UTC))
    document = json.loads(line)
    [directive] = document["_aws"]["CloudWatchMetrics"]
    assert document["_aws"]["Timestamp"] == 1767225600000
    assert directive["Namespace"] == "keepstep"
    values = {metric["Name"]: document[metric["Name"]] for metric in directive["Metrics"]}
    expected = {"Success": 1, "Failure": 0, "Duration": 1.5, "Bytes": 7, "Objects": 2, "Failed": 0, "Requests": 2}
    assert values == expected
    assert all(document[name] for names in directive["Dimensions"] for name in names)


def test_the_dashboard_asks_for_what_there_is(place: Place) -> None:
    """Every metric that a panel of the Grafana dashboard names is one that we export, and each is on a panel."""
    place.configure(COPY)
    with place.daemon() as daemon:
        _, text = daemon.get("metrics")
        daemon.stop()
    exported = set(re.findall(r"^# TYPE (keepstep_\w+)", text, re.MULTILINE)) - {"keepstep_build_info"}
    dashboard = json.loads((Path(__file__).parents[2] / "deploy/grafana/keepstep.json").read_text())
    asked = {
        name for panel in dashboard["panels"] for each in panel["targets"] for name in _NAME.findall(each["expr"])
    }
    assert asked - exported == {"keepstep_job"}
    assert exported - asked == {"keepstep_last_run_timestamp_seconds", "keepstep_last_run_exit_code"}


_NAME = re.compile(r"keepstep_\w+")

"""A real Prometheus, with its defaults, scrapes a real daemon: dashboard and alert rules find what they ask for."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from tests.deploy.images import REPOSITORY
from tests.hosts.fixtures import Place
from tests.servers import free_port, program, running, wait_until

RULES = REPOSITORY / "deploy" / "prometheus" / "keepstep.rules.yml"
DASHBOARD = REPOSITORY / "deploy" / "grafana" / "keepstep.json"
JOBS = """
[job.fails]
kind = "sync"
source = "{folder}/missing"
target = "{folder}/out1"
schedule = "@daily"
startup = true

[job.works]
kind = "sync"
source = "{folder}/in"
target = "{folder}/out2"
schedule = "@daily"
startup = true

[job.fails-too]
kind = "secrets"
map = "{folder}/missing.csv"
schedule = "@daily"
startup = true
"""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address, once it has scraped a daemon whose three jobs have run, two of which failed."""
    folder = tmp_path_factory.mktemp("prometheus")
    place = Place(folder)
    place.source()
    place.configure(JOBS)
    with place.daemon() as daemon:
        daemon.wait("run ended", 3)
        target = daemon.wait("serving")["address"].removeprefix("http://").rstrip("/")
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "scrape_configs": [{"job_name": "keepstep", "static_configs": [{"targets": [target]}]}],
            "rule_files": [str(RULES)],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        words = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        command = [program("prometheus", "Prometheus"), *words, f"--web.listen-address=127.0.0.1:{port}"]
        address, log = f"http://127.0.0.1:{port}", folder / "prometheus.log"
        with running(command, log=log) as process:
            wait_until(lambda: has_scraped(address), process, timeout=60, log=log)
            yield address


def has_scraped(address: str) -> bool:
    try:
        return len(ask(address, "keepstep_last_run_failed")) == 3
    except OSError:
        return False


def ask(address: str, expression: str) -> list[dict[str, Any]]:
    """The series of an instant query."""
    with urlopen(f"{address}/api/v1/query?query={quote(expression)}", timeout=30) as answer:
        document = json.load(answer)
    assert document["status"] == "success", document
    return list(document["data"]["result"])


def expressions() -> dict[str, str]:
    """Of the dashboard's panels, by title, with its variables filled in for all jobs."""
    dashboard = json.loads(DASHBOARD.read_text())
    targets = {(panel["title"], each["refId"]): each for panel in dashboard["panels"] for each in panel["targets"]}
    return {
        f"{title} {number}": target["expr"].replace("$job", ".*").replace("$__rate_interval", "1m")
        for (title, number), target in targets.items()
    }


def test_two_failing_jobs_are_two(prometheus: str) -> None:
    """The dashboard counts each failing job by its own name, whatever Prometheus calls the thing it scraped."""
    [failed] = ask(prometheus, expressions()["Jobs whose last run failed A"])
    assert failed["value"][1] == "2"
    series = ask(prometheus, expressions()["Time until the next run A"])
    assert {each["metric"]["keepstep_job"] for each in series} == {"fails", "fails-too", "works"}
    everything = ask(prometheus, '{__name__=~"keepstep_.*"}')
    assert [each for each in everything if any(label.startswith("exported_") for label in each["metric"])] == []


@pytest.mark.parametrize("panel", expressions())
def test_every_panel_is_answered(prometheus: str, panel: str) -> None:
    """Every expression of the dashboard is one that Prometheus evaluates; series of jobs carry the jobs' names."""
    for series in ask(prometheus, expressions()[panel]):
        assert "job" not in series["metric"]


def test_the_alert_rules(prometheus: str) -> None:
    """promtool takes the rules, and Prometheus finds the two failing jobs, and nothing else, to alert about."""
    checked = subprocess.run(
        [program("promtool", "Prometheus"), "check", "rules", RULES], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stderr
    deadline = time.monotonic() + 60
    while len(raised := alerts(prometheus)) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert {(alert["labels"]["alertname"], alert["labels"].get("keepstep_job")) for alert in raised} == {
        ("KeepstepRunFailed", "fails"),
        ("KeepstepRunFailed", "fails-too"),
    }


def alerts(address: str) -> list[dict[str, Any]]:
    with urlopen(f"{address}/api/v1/alerts", timeout=30) as answer:
        return list(json.load(answer)["data"]["alerts"])


def test_the_page_shows_the_same_rules() -> None:
    """docs/metrics.md links the rules, and every metric that a rule names is in its table."""
    page = (REPOSITORY / "docs" / "metrics.md").read_text()
    assert "deploy/prometheus/keepstep.rules.yml" in page
    for name in set(re.findall(r"keepstep_\w+_\w+", Path(RULES).read_text())) - {"keepstep_build_info"}:
        assert name in page or f"…{name.removeprefix('keepstep_last_run')}" in page, name

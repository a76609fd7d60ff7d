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
from tests.deploy.manifests import of_kind, rendered
from tests.hosts.fixtures import Place
from tests.servers import free_port, program, running, wait_until

KUBERNETES = REPOSITORY / "deploy" / "prometheus" / "keepstep-kubernetes.rules.yml"
SCRAPE = REPOSITORY / "deploy" / "prometheus" / "scrape-kubernetes.yml"
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
            "scrape_configs": [
                {"job_name": "keepstep", "static_configs": [{"targets": [target]}]},
                as_in_a_cluster(folder, target),
            ],
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


def as_in_a_cluster(folder: Path, target: str) -> dict[str, Any]:
    """What is shipped for clusters, with pods as the API server describes them: the daemon's, and another."""
    [document] = of_kind(rendered("oke/daemon"), "Deployment")
    annotations = document["spec"]["template"]["metadata"]["annotations"]
    host, _, port = target.rpartition(":")
    meta = {
        f"__meta_kubernetes_pod_annotation_{re.sub('[^a-zA-Z0-9]', '_', name)}": value
        for name, value in {**annotations, "prometheus.io/port": port}.items()
    }
    meta |= {"__meta_kubernetes_namespace": "keepstep", "__meta_kubernetes_pod_name": "keepstep-daemon-0"}
    found = [{"targets": [f"{host}:1"], "labels": meta}, {"targets": [f"{host}:2"], "labels": {"pod": "another"}}]
    (folder / "pods.json").write_text(json.dumps(found))
    [config] = yaml.safe_load(SCRAPE.read_text())["scrape_configs"]
    del config["kubernetes_sd_configs"]
    return {**config, "file_sd_configs": [{"files": [str(folder / "pods.json")]}]}


def has_scraped(address: str) -> bool:
    try:
        return len(ask(address, "keepstep_last_run_failed")) == 6
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


def test_a_pod_is_scraped_by_its_annotations(prometheus: str) -> None:
    """By the configuration that is shipped: at the annotated port and path, and no other pod."""
    found = ask(prometheus, 'up{job="kubernetes-pods"}')
    assert [(each["metric"]["pod"], each["metric"]["namespace"], each["value"][1]) for each in found] == [
        ("keepstep-daemon-0", "keepstep", "1")
    ]
    series = ask(prometheus, 'keepstep_last_run_failed{job="kubernetes-pods"}')
    assert {each["metric"]["keepstep_job"] for each in series} == {"fails", "fails-too", "works"}


def _cronjob(name: str, *, active: int, scheduled: int, succeeded: int | None) -> list[dict[str, str]]:
    """What kube-state-metrics says of a CronJob, for a day and more."""
    values = {"status_active": active, "status_last_schedule_time": scheduled, "created": 0}
    if succeeded is not None:
        values["status_last_successful_time"] = succeeded
    labels = f'{{namespace="keepstep", cronjob="{name}"}}'
    return [
        {"series": f"kube_cronjob_{metric}{labels}", "values": f"{value}x2000"} for metric, value in values.items()
    ]


def test_the_rules_for_cronjobs(tmp_path: Path) -> None:
    """A run that failed is told, also the first one; one that runs or succeeded is not."""
    series = [
        *_cronjob("fails", active=0, scheduled=600, succeeded=300),
        *_cronjob("first-fails", active=0, scheduled=6, succeeded=None),
        *_cronjob("works", active=0, scheduled=600, succeeded=660),
        *_cronjob("runs", active=1, scheduled=600, succeeded=300),
    ]
    raised = {
        ("20m", "KeepstepCronJobFailed"): ["fails", "first-fails"],
        ("20m", "KeepstepCronJobNoSuccess"): [],
        ("1500m", "KeepstepCronJobNoSuccess"): ["fails", "first-fails", "works", "runs"],
    }
    expressions = [
        {
            "expr": f'count by (cronjob) (ALERTS{{alertstate="firing", alertname="{alert}"}})',
            "eval_time": at,
            "exp_samples": [{"labels": f'{{cronjob="{name}"}}', "value": 1} for name in names],
        }
        for (at, alert), names in raised.items()
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": expressions}
    document = {"rule_files": [str(KUBERNETES)], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(document))
    words = [program("promtool", "Prometheus"), "test", "rules", str(tmp_path / "test.yml")]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def alerts(address: str) -> list[dict[str, Any]]:
    with urlopen(f"{address}/api/v1/alerts", timeout=30) as answer:
        return list(json.load(answer)["data"]["alerts"])


def test_the_page_shows_the_same_rules() -> None:
    """docs/metrics.md links the rules, and every metric that a rule names is in its table."""
    page = (REPOSITORY / "docs" / "metrics.md").read_text()
    assert "deploy/prometheus/keepstep.rules.yml" in page
    for name in set(re.findall(r"keepstep_\w+_\w+", Path(RULES).read_text())) - {"keepstep_build_info"}:
        assert name in page or f"…{name.removeprefix('keepstep_last_run')}" in page, name

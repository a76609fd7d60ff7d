"""Who is told when a run on ECS fails, is killed, hangs or does not come: the rules, on real events and logs."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import hcl2
import pytest

from tests.deploy.aws_rules import matches, selected
from tests.deploy.hcl import resources
from tests.deploy.terraform import variables_alone
from tests.hosts.test_container import COMMAND, Container
from tests.servers import Aws

_CLUSTER = "arn:aws:ecs:eu-west-1:111122223333:cluster/keepstep-sync"
_TASK = f"{_CLUSTER.replace(':cluster/', ':task/')}/c13b4cb40f1f4fe4a2971f76ae5a47ad"


@pytest.fixture
def container(moto: Aws, tmp_path: Path) -> Container:
    return Container(moto, tmp_path)


def content(module: str, kind: str, name: str) -> dict[str, Any]:
    return next(body for found, label, body in resources(module) if (found, label) == (kind, name))


def pattern() -> dict[str, Any]:
    """The event pattern of aws-sync; the cluster is the module's own."""
    expression = content("aws-sync", "aws_cloudwatch_event_rule", "failed")["event_pattern"]
    inner = re.fullmatch(r"\$\{jsonencode\((.*)\)\}", expression, re.DOTALL)
    assert inner, expression
    read: Any = hcl2.loads(f"x = {inner[1]}\n")
    text = json.dumps(read["x"]).replace("${aws_ecs_cluster.this.arn}", _CLUSTER)
    plain: dict[str, Any] = json.loads(re.sub(r'"\\"([^"]*)\\""', r'"\1"', text))
    return plain


def task(*, code: int | None = None, stop: str = "EssentialContainerExited", **more: Any) -> dict[str, Any]:
    """ECS Task State Change of a Fargate task, as in the developer guide: "Amazon ECS task state change events"."""
    container = {
        "containerArn": f"{_TASK.replace(':task/', ':container/')}/44d3f1f0",
        "lastStatus": "STOPPED",
        "name": "keepstep",
        "image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/keepstep@sha256:74b2c688",
        "taskArn": _TASK,
        "networkInterfaces": [{"attachmentId": "1789bcae", "privateIpv4Address": "10.0.0.135"}],
        "cpu": "0",
    } | ({} if code is None else {"exitCode": code})
    detail = {
        "attachments": [],
        "availabilityZone": "eu-west-1a",
        "clusterArn": _CLUSTER,
        "connectivity": "CONNECTED",
        "containers": [container],
        "cpu": "1024",
        "createdAt": "2026-11-30T06:00:04.182Z",
        "desiredStatus": "STOPPED",
        "enableExecuteCommand": False,
        "group": "family:keepstep-sync",
        "launchType": "FARGATE",
        "lastStatus": "STOPPED",
        "memory": "2048",
        "overrides": {"containerOverrides": [{"name": "keepstep"}]},
        "platformVersion": "1.4.0",
        "stopCode": stop,
        "stoppedAt": "2026-11-30T06:14:51.500Z",
        "stoppedReason": "Essential container in task exited",
        "taskArn": _TASK,
        "taskDefinitionArn": "arn:aws:ecs:eu-west-1:111122223333:task-definition/keepstep-sync:3",
        "version": 5,
    }
    return {
        "version": "0",
        "id": "3317b2af-7005-947d-b652-f55e762e571a",
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "account": "111122223333",
        "time": "2026-11-30T06:14:51Z",
        "region": "eu-west-1",
        "resources": [_TASK],
        "detail": detail | more,
    }


@pytest.mark.parametrize(
    ("event", "is_told"),
    [
        pytest.param(task(code=0), False, id="done"),
        pytest.param(task(code=1), True, id="objects failed"),
        pytest.param(task(code=5), True, id="misconfigured"),
        pytest.param(task(code=143), True, id="stopped at its deadline"),
        pytest.param(task(code=137, stoppedReason="OutOfMemoryError"), True, id="out of memory"),
        pytest.param(task(code=0, stop="UserInitiated"), True, id="stopped by hand as it ended"),
        pytest.param(task(stop="TaskFailedToStart", stoppedReason="CannotPullContainerError"), True, id="no image"),
        pytest.param(task(stop="TaskFailedToStart", containers=[]), True, id="no container"),
        pytest.param(task(stop="SpotInterruption", code=137), True, id="taken away"),
        pytest.param(task(), True, id="ended without a code"),
        pytest.param(task(code=1, lastStatus="DEPROVISIONING"), False, id="not yet stopped"),
        pytest.param(task(lastStatus="RUNNING", stop=""), False, id="runs"),
        pytest.param(task(code=1, clusterArn=f"{_CLUSTER}-2"), False, id="another cluster"),
        pytest.param(task(code=1) | {"source": "aws.batch"}, False, id="another service"),
    ],
)
def test_a_run_that_does_not_end_well_is_told(event: dict[str, Any], is_told: bool) -> None:
    """One message for each task that stopped with another exit code than 0, was stopped, or never started."""
    assert matches(pattern(), event) is is_told


def counted(text: str) -> int:
    """How often the filter of the alarm that waits for a success finds one in a log."""
    written = content("aws-sync", "aws_cloudwatch_log_metric_filter", "succeeded")["pattern"]
    return len(selected(written.replace('\\"', '"'), text.splitlines()))


def test_the_log_of_a_success_has_one(container: Container) -> None:
    """A run that did everything is counted once, whatever objects are called."""
    container.put(a="1")
    name = 'files/{"event": "run ended", "exit_code": 0}'
    container.s3.put_object(Bucket=container.bucket, Key=name, Body=b"2")
    done = container.run()
    assert done.returncode == 0, done.stderr
    assert counted(done.stdout + done.stderr) == 1


def test_the_log_of_a_failure_has_none(container: Container, moto: Aws) -> None:
    """Neither a run with a failed object, nor one without a source, nor one that is misconfigured, is a success."""
    failed = container.run()
    assert failed.returncode == 5
    assert counted(failed.stdout + failed.stderr) == 0
    container.put(a="1")
    moto.fault("GetObject", {"status": 403, "code": "AccessDenied"}, times=None)
    try:
        partly = container.run()
    finally:
        moto.clear_faults()
    assert partly.returncode == 1, partly.stderr
    assert "error:" not in partly.stderr
    assert counted(partly.stdout + partly.stderr) == 0
    wrong = container.run(SYNC_PARAMS="--nonsense")
    assert (wrong.returncode, counted(wrong.stdout + wrong.stderr)) == (5, 0)


@pytest.fixture
def hung(container: Container, moto: Aws) -> Container:
    """A run whose source does not answer when an object is asked for."""
    container.put(a="1" * 100_000)
    moto.fault("GetObject", {"latency_ms": 60_000}, times=100)
    return container


def test_a_run_that_hangs_ends_at_its_deadline(hung: Container, moto: Aws) -> None:
    """SYNC_DEADLINE stops it with an error, exit code 143, and no success in the log."""
    try:
        ended = hung.run(SYNC_DEADLINE="3s", SYNC_PARAMS="--cli-read-timeout 0")
    finally:
        moto.clear_faults()
    assert ended.returncode == 143, ended.stderr
    assert "error: the run was stopped after SYNC_DEADLINE=3s\nhint: " in ended.stderr
    assert counted(ended.stdout + ended.stderr) == 0
    assert json.loads(ended.stderr.splitlines()[-1])["outcome"] == "overdue"


def test_a_task_that_is_stopped_ends_in_time(hung: Container, moto: Aws) -> None:
    """SIGTERM ends even a run that hangs within ECS's 30 s; the task definition gives it more than that."""
    definition = content("aws-sync", "aws_ecs_task_definition", "this")["container_definitions"]
    stop_timeout = int(re.search(r"stopTimeout\W+(\d+)", definition)[1])  # type: ignore[index]
    assert 30 <= stop_timeout <= 120
    env = hung.env({"SYNC_PARAMS": "--cli-read-timeout 0"})
    with subprocess.Popen(COMMAND, env=env, cwd=hung.folder, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not any(fault["seen"] for fault in moto.faults()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        took = time.monotonic() - began
    moto.clear_faults()
    assert process.returncode == 143, said
    assert took < 30
    assert counted(said) == 0


_SCHEDULES = [
    ("rate(6 hours)", None, 350, 13),
    ("rate(1 hour)", None, 50, 3),
    ("rate(15 minutes)", None, 12, 2),
    ("rate(1 day)", None, 1430, 49),
    ("cron(0 5 * * ? *)", 1440, 1430, 49),
]
"""An expression, period_minutes, minutes until a run is stopped, and hours until silence is told."""


def test_deadline_and_silence_follow_the_schedule(tmp_path: Path) -> None:
    """A run ends before the next one comes, and somebody is told after two that did not succeed."""
    tool = variables_alone("aws-sync", tmp_path)
    for schedule, period, deadline, silence in _SCHEDULES:
        more = {} if period is None else {"period_minutes": str(period)}
        asked = "jsonencode([local.deadline_minutes, local.silence_hours])"
        answer = tool.console(asked, schedule=schedule, **more)
        assert json.loads(json.loads(answer)) == [deadline, silence], schedule


def test_alarms_of_a_rotation_follow_the_tick() -> None:
    """Each alarm's period is the time between two ticks; silence is ticks that did not succeed, or did not come."""
    alarms = {name: content("aws-rotation", "aws_cloudwatch_metric_alarm", name) for name in ("this", "silent")}
    assert alarms["this"]["period"] == "${local.period}"
    silent = alarms["silent"]
    assert (silent["evaluation_periods"], silent["treat_missing_data"]) == ("${var.alarm_after_ticks}", "breaching")
    [expression] = silent["metric_query"]
    assert expression["expression"] == "invocations - errors"
    [queries] = silent["dynamic"]
    assert queries["metric_query"]["for_each"] == {"invocations": "Invocations", "errors": "Errors"}
    [metric] = queries["metric_query"]["content"][0]["metric"]
    assert (metric["period"], metric["stat"]) == ("${local.period}", "Sum")

"""A damaged audit log, as a daemon finds it: real logs in S3, real alerts, metrics and pages."""

from __future__ import annotations

import asyncio
import signal
import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from tests.dashboard.test_looks import written_log
from tests.hosts.fixtures import Place, until
from tests.hosts.mail import webhook
from tests.hosts.test_metrics import samples
from tests.rotation.conftest import clouds as clouds
from tests.rotation.conftest import rotation_cloud as rotation_cloud
from tests.rotation.conftest import session_clouds as session_clouds
from tests.rotation.fixture import Clouds

BROKEN = ("keepstep_alert_active", "audit")


@pytest.mark.long
def test_a_broken_audit_log_is_counted_everywhere(tmp_path: Path, clouds: Clouds) -> None:
    """An entry that is deleted is one alert, one active alert in the metrics and one failing job on the page.

    No run of the job has to end for that, and the alert is over once the log is whole again.
    """
    arn, ocid = clouds.create('{"username": "u", "password": "s3cret-Value"}')
    bucket = f"audits-{uuid.uuid4().hex[:12]}"
    s3 = clouds.aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    asyncio.run(written_log(clouds, f"s3://{bucket}/rotations/app/"))
    place = Place(tmp_path)
    with webhook() as hook:
        place.configure(
            f'[alerts]\nurls = ["{hook.url}"]\n[job.app]\nkind = "rotate"\n'
            f'aws_secret = "{arn}"\noci_secret = "{ocid}"\n'
            f'audit = {{ log = "s3://{bucket}/rotations/", key = "aws-ssm:/page/salt" }}\n'
        )
        with place.daemon() as daemon:
            daemon.wait("audit log verified", level="info")
            assert BROKEN not in samples(daemon.get("metrics")[1])
            key = s3.list_objects_v2(Bucket=bucket)["Contents"][1]["Key"]
            kept = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            s3.delete_object(Bucket=bucket, Key=key)
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait("alert", title="app: the audit log is broken")
            until(lambda: len(hook.bodies) == 1, daemon.log)
            assert "entry 2 is missing" in hook.bodies[0]
            until(lambda: samples(daemon.get("metrics")[1]).get(BROKEN) == 1, daemon.log)
            assert "1 jobs: 1 failing" in daemon.get("")[1]
            s3.put_object(Bucket=bucket, Key=key, Body=kept)
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait("audit log verified", 2, level="info")
            later = timedelta(minutes=11).total_seconds()
            place.history.database.write(lambda query: query("UPDATE alert SET seen = seen - ?", later))
            daemon.wait("alert", title="app: recovered (the audit log is broken)")
            until(lambda: BROKEN not in samples(daemon.get("metrics")[1]), daemon.log)
            assert daemon.stop() == 0

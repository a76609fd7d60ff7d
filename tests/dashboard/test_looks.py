"""What is looked up for the page: drift, stages, the audit chain; never a value."""

from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path

from keepstep.audit.keys import Keyring
from keepstep.audit.log import AuditLog
from keepstep.clock import SystemClock
from keepstep.jobs.assembly import Assembly
from keepstep.jobs.settings import CloudSettings
from keepstep.stores.address import parse
from keepstep.stores.interface import Appendable
from keepstep.vaults.address import parse as parse_secret
from tests.audit.worlds import facts
from tests.dashboard.worlds import Place, Site
from tests.rotation.fixture import Clouds

VALUE = "s3cret-Value-on-no-page"


def looked(site: Site, path: str) -> str:
    """The page, once somebody has looked."""
    deadline = time.monotonic() + 90
    while "being checked" in (page := site.get(path).text):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert VALUE not in page
    return page


def test_drift_is_shown(tmp_path: Path, clouds: Clouds) -> None:
    """Which file holds which version, and which are missing; no value is on the page."""
    _, ocid = clouds.create(VALUE)
    (tmp_path / "held").write_text(VALUE)
    clouds.put_oci(ocid, "newer-" + VALUE)
    (tmp_path / "map.csv").write_text(f"{ocid},{tmp_path}/held\n{ocid},{tmp_path}/none\n")
    place = Place(tmp_path, jobs=f'[job.app]\nkind = "secrets"\nmap = "{tmp_path}/map.csv"\n')
    with place.served() as site:
        page = looked(site, "/jobs/app")
        assert "behind" in page and "missing" in page and f"{tmp_path}/held" in page
        assert "Secrets of" in looked(site, "/")


def test_a_vault_that_is_away_is_shown(tmp_path: Path, clouds: Clouds) -> None:
    """A secret that cannot be had is unknown, with the reason."""
    _, ocid = clouds.create(VALUE)
    (tmp_path / "map.csv").write_text(f"{ocid[:-4]}none,{tmp_path}/x\n")
    place = Place(tmp_path, jobs=f'[job.app]\nkind = "secrets"\nmap = "{tmp_path}/map.csv"\n')
    with place.served() as site:
        page = looked(site, "/jobs/app")
    assert "unknown" in page and "missing and for what is forbidden" in page


def test_a_credential_and_its_audit_log_are_shown(tmp_path: Path, clouds: Clouds) -> None:
    """Which version stands where, its age, when it is due; how far the audit chain holds, and where it breaks."""
    arn, ocid = clouds.create(f'{{"username": "u", "password": "{VALUE}"}}')
    name = arn.partition(":secret:")[2][:-7]  # a bare name is one of Secrets Manager, as for the rotation
    clouds.put_oci(ocid, f'{{"username": "u", "password": "next-{VALUE}"}}', stage="PENDING", name="rot-g1")
    bucket = f"audit-page-{os.getpid()}"
    s3 = clouds.aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    asyncio.run(written_log(clouds, f"s3://{bucket}/rotations/app/"))
    job = (
        f'[job.app]\nkind = "rotate"\naws_secret = "{name}"\noci_secret = "{ocid}"\n'
        f'audit = {{ log = "s3://{bucket}/rotations/", key = "aws-ssm:/page/salt" }}\n'
    )
    place = Place(tmp_path, jobs=job)
    with place.served() as site:
        page = looked(site, "/jobs/app")
    for words in ("CURRENT", "PENDING", "aws-sm", "oci-vault", ocid, "intact, "):
        assert words in page, words
    assert re.search("Next due: in (23h|1d)", page)  # in the first half second it is a whole day
    assert "4 entries" in page and "verified up to entry 4" in page
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    s3.delete_object(Bucket=bucket, Key=keys[1])
    with place.served() as site:
        page = looked(site, "/jobs/app")
        front = looked(site, "/")
    assert "broken, " in page and "entry 2 is missing" in page
    assert "<title>1 failing" in front and "1 job: 1 failing" in front


async def written_log(clouds: Clouds, address: str) -> None:
    """Four entries, signed with the parameter ``/page/salt``."""
    clouds.aws.client("ssm").put_parameter(Name="/page/salt", Value="k" * 40, Type="SecureString", Overwrite=True)
    assembly = Assembly(CloudSettings())
    store = assembly.target(parse(address))
    key = parse_secret("aws-ssm:/page/salt")
    vault = assembly.vaults(["aws-ssm"])["aws-ssm"]
    assert isinstance(store, Appendable)
    log = AuditLog("app", store, Keyring(vault, key), SystemClock(), anchor=None, warn=print)
    for number in range(4):
        await log.append(("intent", "result")[number % 2], facts(number))
    await store.close()
    await vault.close()

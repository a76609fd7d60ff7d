"""Compares this machine's clock with both clouds', by the Date header of any response."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from keepstep.clock import Clock
from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.aws_chain import open_session
from keepstep.clouds.http import HttpPool
from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_config import CA_SETTING
from keepstep.doctor.check import Check, fail, ok, unknown

TOLERANCE = timedelta(minutes=5)
"""Signatures older than this are refused ("Request Signatures" of OCI; AWS's Signature Version 4 says the same)."""
_NOTICED = timedelta(minutes=1)
_FIX = "set the clock and keep it synchronised: timedatectl set-ntp true"


async def aws_clock(identity: AwsIdentity, clock: Clock) -> Check:
    url = await asyncio.to_thread(_sts_url, identity)
    return judged("aws-clock", url, await _date(url, identity.config.ca_bundle, "AWS_CA_BUNDLE"), clock.now())


async def oci_clock(identity: OciIdentity, clock: Clock) -> Check:
    url = await identity.endpoint("identity")
    return judged("oci-clock", url, await _date(url, identity.ca_bundle, CA_SETTING), clock.now())


def _sts_url(identity: AwsIdentity) -> str:
    from botocore import UNSIGNED
    from botocore.config import Config

    session = open_session(identity.settings)
    region = session.get_config_variable("region") or "us-east-1"
    client = session.create_client("sts", region_name=region, config=Config(signature_version=UNSIGNED))
    return str(client.meta.endpoint_url)


async def _date(url: str, bundle: str | None, setting: str) -> str:
    """The Date header of the response to an unsigned request; a refusal has one too."""
    parts = urlsplit(url)
    pool = HttpPool(f"{parts.scheme}://{parts.netloc}", ca_bundle=bundle, ca_setting=setting)
    try:
        response = await pool.request("GET", parts.path or "/", [("host", parts.netloc)])
        return response.headers.get("date", "")
    finally:
        await pool.close()


def judged(name: str, url: str, date: str, now: datetime) -> Check:
    """Compares a Date header with this machine's time."""
    host = urlsplit(url).netloc
    try:
        skew = now - parsedate_to_datetime(date)
    except (TypeError, ValueError, IndexError, OverflowError):
        return unknown(name, host, "the response has no date to compare with")
    if abs(skew) > timedelta(days=1):
        days = f"{abs(skew).days} days"
        return fail(name, host, f"this clock and the server's differ by {days}: one of them is wrong", _FIX)
    seconds = f"{abs(skew.total_seconds()):.0f} s {'ahead' if skew > timedelta() else 'behind'}"
    if abs(skew) > TOLERANCE:
        return fail(name, host, f"this clock is {seconds}; signatures are refused from 300 s", _FIX)
    if abs(skew) > _NOTICED:
        return fail(name, host, f"this clock is {seconds}; a clock that drifts keeps drifting", _FIX)
    return ok(name, host, f"this clock is within {max(1, abs(round(skew.total_seconds())))} s")

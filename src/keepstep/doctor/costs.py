"""Checks that Oracle's cost reports are read in the right region, and that they arrive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from keepstep.clouds.oci import OciIdentity
from keepstep.clouds.oci_regions import home_in
from keepstep.clouds.oci_service import OciService, quoted
from keepstep.doctor.check import Check, fail, ok, unknown
from keepstep.doctor.context import ProbeContext
from keepstep.doctor.identity import refusal
from keepstep.errors import Denied
from keepstep.jobs.sync import ResolvedSync
from keepstep.stores.address import Address
from keepstep.stores.interface import Span
from keepstep.units import in_words

_LATE = timedelta(hours=48)
"""Reports may be this late ("Accessing Cost and Usage Reports")."""
_FOLDER = "FOCUS Reports/"
"""Older forms of the reports are in ``reports/``, which sorts after it."""


async def home_region(identity: OciIdentity, tenancy: str) -> Check:
    """Finds the home region with ListRegionSubscriptions (IAM API)."""
    ours = (await identity.key()).region
    service = OciService("identity", identity)
    try:
        path = f"/20160918/tenancies/{quoted(tenancy)}/regionSubscriptions"
        answer = await service.call(
            "ListRegionSubscriptions", "GET", path, lambda response: refusal(response, identity)
        )
    except Denied as error:
        return unknown(
            "region",
            tenancy,
            f"cannot determine the tenancy's home region; the configured one is {ours}",
            error.hint,
        )
    finally:
        await service.close()
    home = home_in(answer.document)
    if home is None:
        return unknown("region", tenancy, f"the response names no home region; the configured one is {ours}")
    if home != ours:
        fix = f"set region = {home} in the OCI configuration, or OCI_CLI_REGION"
        return fail("region", tenancy, f"cost reports are in the home region {home}, but {ours} is configured", fix)
    return ok("region", tenancy, f"{ours} is the tenancy's home region")


async def newest(context: ProbeContext, job: ResolvedSync, address: Address) -> Check:
    """The newest report of the last days, from a listing of only these days."""
    store = context.assembly(job.settings).source(address)
    now = context.clock.now()
    times = []
    try:
        async for page in store.list(_days(now, address.prefix)):
            times += page.times
    finally:
        await store.close()
    if times:
        age = now - datetime.fromtimestamp(max(times) / 1e6, UTC)
        return ok("cost-reports", str(address), f"the newest is {in_words(age)} old")
    fix = "check the age of the tenancy (two days) and the prefix of the source; Billing, Cost and Usage Reports"
    return fail("cost-reports", str(address), f"no report in the last {in_words(_LATE * 2)}", fix)


def _days(now: datetime, prefix: str) -> list[Span]:
    first = now - _LATE * 2
    whole = f"{_FOLDER}{first:%Y/%m/%d}/"
    return [Span(whole.removeprefix(prefix) if whole.startswith(prefix) else None)]

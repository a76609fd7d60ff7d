"""Oracle's cost reports: where they are, and what to tell somebody who cannot read them.

Every tenancy's reports lie in the namespace ``bling``, in a bucket named by the tenancy's OCID, in its home region
("Accessing Cost and Usage Reports" in OCI's billing documentation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keepstep.clouds.oci_regions import home_in
from keepstep.errors import Error
from keepstep.stores.address import Address

if TYPE_CHECKING:
    from keepstep.clouds.http import Response
    from keepstep.clouds.oci import OciIdentity

NAMESPACE = "bling"

_USAGE_REPORT_TENANCY = "ocid1.tenancy.oc1..aaaaaaaaned4fkpkisbwjlr56u7cj63lf3wffbilvqknstgtvzub7vhqkggq"
"""Oracle's own, of the commercial realm, as the documentation prints it."""


def advice_when_empty(address: Address) -> str | None:
    """What to say when a listing of cost reports has nothing in it."""
    if address.namespace != NAMESPACE:
        return None
    return (
        "there are no cost reports yet: Oracle writes a new tenancy's first ones within 24 to 48 hours, "
        "and new ones about every 6 hours"
    )


async def advice_when_refused(tenancy: str, identity: OciIdentity) -> str:
    """What to check when OCI says that a tenancy's reports are missing or forbidden.

    Asks OCI for the tenancy's home region, since a wrong region is the usual cause; says nothing of it when that
    cannot be obtained.
    """
    advice = (
        "cost reports need this policy in the root compartment of your tenancy:\n"
        f"  define tenancy usage-report as {_USAGE_REPORT_TENANCY}\n"
        f"  endorse {identity.grantee} to read objects in tenancy usage-report"
    )
    ours = (await identity.key()).region
    home = await _home_region(tenancy, identity)
    if home and ours and home != ours:
        return (
            f"they are kept in the tenancy's home region {home}, and your region is {ours}: "
            f"set region = {home} in the OCI configuration, or OCI_CLI_REGION; {advice}"
        )
    return (
        f"{advice}\ncheck also that {tenancy} is your tenancy's OCID, and that {ours or 'the region'} is its home"
    )


async def _home_region(tenancy: str, identity: OciIdentity) -> str | None:
    """By ListRegionSubscriptions (IAM API); one try."""
    from keepstep.clouds.oci_service import OciService, quoted

    service = OciService("identity", identity)
    try:
        path = f"/20160918/tenancies/{quoted(tenancy)}/regionSubscriptions"
        answer = await service.call("ListRegionSubscriptions", "GET", path, _unknown, is_repeatable=False)
        return home_in(answer.document)
    except Error:
        return None
    finally:
        await service.close()


def _unknown(response: Response) -> Error:
    return Error(f"cannot get the home region: {response.status}")

"""Cost reports as Oracle would put them into ``bling``: FOCUS 1.0 with OCI's own columns, gzipped CSV, four a day.

The figures are invented, and the same for the same seed. Columns and key form: "FOCUS Cost Report Schema" in OCI's
billing documentation.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

COLUMNS = (
    "AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd "
    "BillingPeriodStart ChargeCategory ChargeDescription ChargeFrequency ChargePeriodEnd ChargePeriodStart "
    "ChargeSubcategory CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName "
    "CommitmentDiscountType EffectiveCost InvoiceIssuer ListCost ListUnitPrice PricingCategory PricingQuantity "
    "PricingUnit Provider Publisher Region ResourceId ResourceName ResourceType ServiceCategory ServiceName SkuId "
    "SkuPriceId SubAccountId SubAccountName Tags UsageQuantity UsageUnit oci_ReferenceNumber oci_CompartmentId "
    "oci_CompartmentName oci_OverageFlag oci_UnitPriceOverage oci_BilledQuantityOverage oci_CostOverage "
    "oci_AttributedUsage oci_AttributedCost oci_BackReferenceNumber"
).split()

_HOURS = 6
"""A report covers so many hours."""
_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_DELAY = timedelta(hours=9)
"""From the end of a report's hours to its arrival in the bucket."""


@dataclass(frozen=True)
class _Product:
    category: str
    service: str
    sku: str
    description: str
    unit: str
    price: float
    per_hour: tuple[float, float]
    resources: int


_PRODUCTS = (
    _Product("Compute", "COMPUTE", "B97384", "Compute - Standard - E5 - OCPU", "OCPU Hours", 0.03, (1, 8), 6),
    _Product("Compute", "COMPUTE", "B97385", "Compute - Standard - E5 - Memory", "GB Hours", 0.002, (8, 96), 6),
    _Product("Storage", "BLOCK_STORAGE", "B91961", "Storage - Block Volume", "GB Months", 0.0255, (0.05, 2.0), 10),
    _Product("Storage", "OBJECTSTORAGE", "B91628", "Object Storage - Storage", "GB Months", 0.0255, (0.01, 9.0), 5),
    _Product("Databases", "DATABASE", "B95702", "Autonomous Database - ECPU", "ECPU Hours", 0.336, (2, 16), 2),
    _Product("Networking", "NETWORK", "B88327", "Outbound Data Transfer", "GB Months", 0.0085, (0, 40), 3),
    _Product("Networking", "NETWORK", "B93030", "Load Balancer Base", "Load Balancer Hours", 0.0113, (1, 1), 2),
    _Product("Management", "LOGGING", "B92593", "Logging - Storage", "GB Months", 0.05, (0, 0.4), 3),
    _Product("Security", "KMS", "B92690", "Vault - Key Versions", "Key Versions", 0.0007, (1, 20), 1),
)
_COMPARTMENTS = ("production", "staging", "shared", "data-platform")


def write_reports(folder: Path, *, tenancy: str, end: datetime, days: int, seed: int = 1) -> int:
    """Writes the reports that have arrived in the ``days`` days before ``end`` (aware), and returns how many.

    A file's time is that of the report's arrival.
    """
    count = 0
    for key, arrived, data in reports(tenancy=tenancy, end=end, days=days, seed=seed):
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (arrived.timestamp(), arrived.timestamp()))
        count += 1
    return count


def reports(*, tenancy: str, end: datetime, days: int, seed: int = 1) -> Iterator[tuple[str, datetime, bytes]]:
    """Key, time of arrival and contents of each report, oldest first; the same ones whatever the interval."""
    estate = _estate(tenancy, random.Random(seed))
    whole = timedelta(hours=_HOURS)
    period = (end - timedelta(days=days) - _DELAY - whole - _EPOCH) // whole + 1
    while (first := _EPOCH + period * whole) + whole + _DELAY <= end:
        rng = random.Random(f"{seed}/{period}")
        number = 1_000_000_000_000_000 + 40 * period + rng.randrange(40)
        rows = [_row(item, first + timedelta(hours=hour), rng) for hour in range(_HOURS) for item in estate]
        yield f"FOCUS Reports/{first:%Y/%m/%d}/{number}-00001.csv.gz", first + whole + _DELAY, _gzipped(rows)
        period += 1


@dataclass(frozen=True)
class _Item:
    product: _Product
    tenancy: str
    resource: str
    name: str
    compartment: str
    tags: str


def _estate(tenancy: str, rng: random.Random) -> list[_Item]:
    items = []
    for product in _PRODUCTS:
        for number in range(product.resources):
            compartment = rng.choice(_COMPARTMENTS)
            kind = product.service.lower().replace("_", "")
            resource = f"ocid1.{kind}.oc1.iad.{''.join(rng.choices('abcdefghijklmnopqrstuvwxyz234567', k=60))}"
            tags = json.dumps({"team": rng.choice(("core", "data", "web")), "environment": compartment})
            name = f"{compartment}-{kind}-{number + 1}"
            items.append(_Item(product, tenancy, resource, name, compartment, tags))
    return items


def _row(item: _Item, hour: datetime, rng: random.Random) -> dict[str, str]:
    product = item.product
    # People work by day: usage follows the clock a little.
    busy = 0.6 + 0.4 * (7 <= hour.hour < 20)
    quantity = round(rng.uniform(*product.per_hour) * busy, 6)
    cost = round(quantity * product.price, 9)
    month = hour.replace(day=1, hour=0)
    next_month = (month + timedelta(days=32)).replace(day=1)
    return {
        "AvailabilityZone": f"IAD-AD-{rng.randrange(1, 4)}",
        "BilledCost": f"{cost:.9f}",
        "BillingAccountId": "10000001",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": _time(next_month),
        "BillingPeriodStart": _time(month),
        "ChargeCategory": "Usage",
        "ChargeDescription": product.description,
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _time(hour + timedelta(hours=1)),
        "ChargePeriodStart": _time(hour),
        "ChargeSubcategory": "On-Demand",
        "EffectiveCost": f"{cost:.9f}",
        "InvoiceIssuer": "Oracle",
        "ListCost": f"{cost:.9f}",
        "ListUnitPrice": str(product.price),
        "PricingCategory": "Standard",
        "PricingQuantity": str(quantity),
        "PricingUnit": product.unit,
        "Provider": "Oracle",
        "Publisher": "Oracle",
        "Region": "us-ashburn-1",
        "ResourceId": item.resource,
        "ResourceName": item.name,
        "ResourceType": product.service,
        "ServiceCategory": product.category,
        "ServiceName": product.service,
        "SkuId": product.sku,
        "SubAccountId": item.tenancy,
        "SubAccountName": "localcloud",
        "Tags": item.tags,
        "UsageQuantity": str(quantity),
        "UsageUnit": product.unit,
        "oci_ReferenceNumber": f"{rng.getrandbits(128):032x}",
        "oci_CompartmentId": f"ocid1.compartment.oc1..{item.compartment}",
        "oci_CompartmentName": item.compartment,
        "oci_OverageFlag": "N",
    }


def _gzipped(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

"""Regions of OCI, their short names, and the addresses of services in them.

Source: ``oci/regions_definitions.py`` and ``oci/regions.py`` of the OCI SDK; a test compares the table with the
installed SDK. Regions that are not in it are looked up as the SDK does: ``~/.oci/regions-config.json``, the
variable OCI_REGION_METADATA, OCI_DEFAULT_REALM; what is still unknown is taken to be in the first realm.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from keepstep.errors import ConfigError

_TABLE = """
oc1 oraclecloud.com ap-chuncheon-1:yny ap-hyderabad-1:hyd ap-melbourne-1:mel ap-mumbai-1:bom
    ap-osaka-1:kix ap-seoul-1:icn ap-sydney-1:syd ap-tokyo-1:nrt ca-montreal-1:yul ca-toronto-1:yyz
    eu-amsterdam-1:ams eu-frankfurt-1:fra eu-zurich-1:zrh me-jeddah-1:jed me-dubai-1:dxb
    sa-saopaulo-1:gru uk-cardiff-1:cwl uk-london-1:lhr us-ashburn-1:iad us-phoenix-1:phx
    us-sanjose-1:sjc sa-vinhedo-1:vcp sa-santiago-1:scl il-jerusalem-1:mtz eu-marseille-1:mrs
    ap-singapore-1:sin me-abudhabi-1:auh eu-milan-1:lin eu-stockholm-1:arn af-johannesburg-1:jnb
    eu-paris-1:cdg mx-queretaro-1:qro eu-madrid-1:mad us-chicago-1:ord mx-monterrey-1:mty
    us-saltlake-2:aga sa-bogota-1:bog sa-valparaiso-1:vap ap-singapore-2:xsp me-riyadh-1:ruh
    ap-delhi-1:onm ap-batam-1:hsg eu-madrid-3:orf eu-turin-1:nrq ap-kulai-2:jbp af-casablanca-1:lej
oc2 oraclegovcloud.com us-langley-1:lfi us-luke-1:luf
oc3 oraclegovcloud.com us-gov-ashburn-1:ric us-gov-chicago-1:pia us-gov-phoenix-1:tus
oc4 oraclegovcloud.uk uk-gov-london-1:ltn uk-gov-cardiff-1:brs
oc8 oraclecloud8.com ap-chiyoda-1:nja ap-ibaraki-1:ukb
oc9 oraclecloud9.com me-dcc-muscat-1:mct me-ibri-1:ibr
oc10 oraclecloud10.com ap-dcc-canberra-1:wga
oc14 oraclecloud14.com eu-dcc-milan-1:bgy eu-dcc-milan-2:mxp eu-dcc-dublin-2:snn eu-dcc-rating-2:dtm
    eu-dcc-rating-1:dus eu-dcc-dublin-1:ork
oc15 oraclecloud15.com ap-dcc-gazipur-1:dac
oc19 oraclecloud.eu eu-madrid-2:vll eu-frankfurt-2:str
oc20 oraclecloud20.com eu-jovanovac-1:beg
oc21 oraclecloud21.com me-dcc-doha-1:doh me-alrayyan-1:vve
oc23 oraclecloud23.com us-somerset-1:ebb us-thames-1:ebl
oc24 oraclecloud24.com eu-dcc-zurich-1:avz eu-crissier-1:avf
oc26 oraclecloud26.com me-abudhabi-3:ahu me-alain-1:rba
oc29 oraclecloud29.com me-abudhabi-2:rkt me-abudhabi-4:shj
oc35 oraclecloud35.com ap-seoul-2:dtz ap-suwon-1:dln ap-chuncheon-2:bno
oc42 oraclecloud42.com us-ashburn-2:yxj us-newark-1:pgc
oc51 oraclecloud51.com eu-budapest-1:jsk
oc52 oraclecloud52.com sa-riodejaneiro-1:hnw
"""
"""A realm, its domain, and its regions with their short names; an indented line continues the one before."""

_SERVICES = {
    "objectstorage": ("objectstorage", ""),
    "secrets": ("secrets.vaults", ".oci"),
    "vaults": ("vaults", ".oci"),
    "auth": ("auth", ""),
    "identity": ("identity", ".oci"),
    "notification": ("notification", ""),
    "telemetry-ingestion": ("telemetry-ingestion", ""),
}
"""What stands before the region and between region and domain, from each client's endpoint template."""

_SHAPE = re.compile(r"[a-z]{2,5}(-[a-z0-9]{1,20}){1,3}-[0-9]{1,2}", re.ASCII)
"""``eu-frankfurt-1``, ``uk-gov-london-1``, ``eu-dcc-milan-2``."""

_LABELS = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*", re.ASCII)
"""What may be part of a host: a user's own setting may be a domain."""

DOMAINS: dict[str, str] = {}
"""Second-level domain by region."""
SHORT_NAMES: dict[str, str] = {}
"""Region by short name."""

for _row in _TABLE.replace("\n    ", " ").split("\n"):
    for _name in _row.split()[2:]:
        _region, _short = _name.split(":")
        DOMAINS[_region], SHORT_NAMES[_short] = _row.split()[1], _region


def region_of(name: str) -> str:
    """A region's full name: ``iad`` and ``IAD`` give ``us-ashburn-1``; an unknown name comes back in lower case."""
    name = name.strip().lower()
    if name in DOMAINS:
        return name
    found = SHORT_NAMES.get(name) or next((full for short, full, _ in _described() if short == name), None)
    return found or name


def is_region(name: str) -> bool:
    """Whether the whole of ``name`` is a region's, known or not; one that a domain could hide in is not."""
    known = name in DOMAINS or any(full == name for _, full, _ in _described())
    return known or _SHAPE.fullmatch(name) is not None


def home_in(answer: bytes | bytearray) -> str | None:
    """The home region that ListRegionSubscriptions (IAM API) names; None where the answer holds none."""
    try:
        subscriptions = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    for each in subscriptions if isinstance(subscriptions, list) else ():
        if isinstance(each, dict) and each.get("isHomeRegion") is True:
            name = each.get("regionName")
            return name if isinstance(name, str) and is_region(name) else None
    return None


def domain_of(region: str) -> str:
    """The domain that a region's addresses end in, such as ``oraclecloud.com``."""
    if region in DOMAINS:
        return DOMAINS[region]
    described = next((domain for _, full, domain in _described() if full == region), None)
    return described or os.environ.get("OCI_DEFAULT_REALM") or "oraclecloud.com"


def endpoint_of(service: str, region: str) -> str:
    """Origin of a service: ``https://objectstorage.eu-frankfurt-1.oraclecloud.com``.

    OCI_ENDPOINT_URL puts every service at one address. A region with a dot is a domain of its own, as in the SDK.
    """
    if override := os.environ.get("OCI_ENDPOINT_URL"):
        if not _is_address(override):
            raise ConfigError(
                f"OCI_ENDPOINT_URL is not an address: {override}", hint="write it as https://host[:port]"
            )
        return override.rstrip("/")
    if not region:
        raise ConfigError("no OCI region is known", hint="add 'region=…' to the profile, or set OCI_CLI_REGION")
    region = region_of(region)
    if not _LABELS.fullmatch(region):
        raise ConfigError(
            f"not an OCI region: {region!a:.80}", hint="see region in the profile, and OCI_CLI_REGION"
        )
    before, after = _SERVICES[service]
    return f"https://{before}.{region}" + ("" if "." in region else f"{after}.{domain_of(region)}")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _described() -> Iterator[tuple[str, str, str]]:
    """Short name, region and domain of regions that the user describes; what is broken is skipped."""
    for described in (*_from_file(), _parsed(os.environ.get("OCI_REGION_METADATA", ""))):
        if isinstance(described, dict):
            keys = ("regionKey", "regionIdentifier", "realmDomainComponent", "realmKey")
            short, full, domain, realm = (str(described.get(key) or "").lower() for key in keys)
            if short and full and domain and realm:
                yield short, full, domain


def _from_file() -> list[Any]:
    try:
        with open(os.path.expanduser("~/.oci/regions-config.json"), encoding="utf-8") as file:
            described = _parsed(file.read())
    except (OSError, UnicodeDecodeError):
        return []
    return described if isinstance(described, list) else []


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None

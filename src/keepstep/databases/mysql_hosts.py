"""Hosts that accounts of MySQL are commonly made for. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator


def hosts_known_to(*local: str) -> list[str]:
    """Every pattern that people write for this machine, for its networks, and for private ones.

    ``local`` is this machine as the server sees it, and as it sees itself. Not all there can be: MySQL tells a user
    of its own accounts one by one, by name.
    """
    here = [pattern for each in local for pattern in (each, *_networks(each))]
    return list(dict.fromkeys(["%", "localhost", "127.0.0.1", "::1", *here, *_private()]))


def _networks(address: str) -> Iterator[str]:
    """``10.1.2.3`` as ``10.%``, ``10.1.%`` … and in the two notations of a mask."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        yield from (f"%.{address.partition('.')[2]}",) if "." in address else ()
        return
    if parsed.version == 4:
        parts = str(parsed).split(".")
        for count in (1, 2, 3):
            yield ".".join([*parts[:count], "%"])
            yield ".".join([*parts[:count], *["%"] * (4 - count)])
        for bits in (8, 12, 16, 20, 24, 28):
            network = ipaddress.ip_network(f"{parsed}/{bits}", strict=False)
            yield f"{network.network_address}/{network.netmask}"
            yield str(network)


def _private() -> Iterator[str]:
    for prefix in ("10", "192.168", *(f"172.{second}" for second in range(16, 32))):
        yield f"{prefix}.%"

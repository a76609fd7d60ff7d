"""The hosts that a user of MySQL is asked about, of which nobody can make it a list."""

from __future__ import annotations

from keepstep.databases.mysql_hosts import hosts_known_to


def test_patterns_of_a_machine() -> None:
    """Its address, its networks in every notation, everybody, this machine and the private networks; each once."""
    hosts = hosts_known_to("10.1.2.3", "10.1.2.3")
    for wanted in ("%", "localhost", "127.0.0.1", "::1", "10.1.2.3", "10.%", "10.1.%", "10.1.2.%", "10.1.%.%"):
        assert wanted in hosts
    for wanted in ("10.1.2.0/255.255.255.0", "10.1.0.0/16", "192.168.%", "172.31.%"):
        assert wanted in hosts
    assert len(hosts) == len(set(hosts)) < 60


def test_names_and_other_addresses() -> None:
    """A name is asked about with its domain; what is no address of IPv4 has no networks."""
    assert "%.example.com" in hosts_known_to("app.example.com")
    assert "fe80::1" in hosts_known_to("fe80::1")

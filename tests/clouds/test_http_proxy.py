"""Which requests go through a proxy: row by row, and what curl does next to it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from keepstep.clouds.http_proxy import is_direct, proxy_for, proxy_url
from keepstep.errors import ConfigError
from tests.servers import absent

NAMES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method"]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.lower() in NAMES:
            monkeypatch.delenv(name)
    yield


@pytest.mark.parametrize(
    ("exceptions", "url", "direct"),
    [
        # names, and what is below them
        ("example.com", "https://example.com", True),
        ("example.com", "https://s3.example.com", True),
        ("example.com", "https://notexample.com", False),
        ("example.com", "https://example.com.evil.net", False),
        (".example.com", "https://s3.example.com", True),
        (".example.com", "https://example.com", True),
        ("*.example.com", "https://s3.example.com", True),
        ("EXAMPLE.com.", "https://S3.Example.COM.", True),
        ("a.net, example.com", "https://example.com", True),
        ("a.net example.com", "https://example.com", True),
        ("a.net,,example.com,", "https://example.com", True),
        # everything
        ("*", "https://example.com", True),
        ("a.net,*", "https://example.com", True),
        ("", "https://example.com", False),
        (",", "https://example.com", False),
        (".", "https://example.com", False),
        # ports
        ("example.com:8443", "https://example.com:8443", True),
        ("example.com:8443", "https://example.com", False),
        ("example.com:443", "https://example.com", True),
        ("example.com:80", "http://example.com", True),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443", True),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]", False),
        ("10.0.0.1:9000", "http://10.0.0.1:9000", True),
        # addresses and networks
        ("10.1.2.3", "http://10.1.2.3", True),
        ("10.0.0.0/8", "http://10.1.2.3:9000", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.1.2.3/8", "http://10.9.9.9", True),
        ("192.168.0.0/255.255.0.0", "http://192.168.3.4", True),
        ("10.0.0.0/8", "http://10.example.com", False),
        ("10.0.0.0/99", "http://10.1.2.3", False),
        ("2001:db8::/32", "https://[2001:db8::1]:9000", True),
        ("[2001:db8::1]", "https://[2001:db8::1]", True),
        ("2001:db8::1", "https://[2001:DB8:0::1]", True),
        ("2001:db8::/32", "https://[2001:db9::1]", False),
        ("10.0.0.0/8", "http://[::ffff:10.1.2.3]", True),
        # this machine and the metadata services, whatever is said
        ("", "http://127.0.0.1:9000", True),
        ("", "http://127.9.9.9", True),
        ("", "http://[::1]:9000", True),
        ("", "http://localhost:9000", True),
        ("", "http://LOCALHOST.", True),
        ("", "http://bucket.localhost", True),
        ("", "http://[::ffff:127.0.0.1]", True),
        ("", "http://169.254.169.254/latest", True),
        ("", "http://169.254.170.2", True),
        ("", "http://169.254.170.23", True),
        ("", "http://[fd00:ec2::254]", True),
        ("", "http://[fd00:ec2::23]", True),
        ("", "http://[fd00:c1::a9fe:a9fe]/opc/v2", True),
        ("", "http://[fe80::1%eth0]", True),
        ("", "http://localhost.example.com", False),
        ("", "http://169.253.169.254", False),
    ],
)
def test_who_is_asked_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, exceptions: str, url: str, direct: bool
) -> None:
    """NO_PROXY holds names, addresses, networks and ports; loopback and metadata services need no entry."""
    monkeypatch.setenv("NO_PROXY", exceptions)
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    assert is_direct(url) is direct
    assert proxy_url(url) == (None if direct else "http://proxy.example:3128")
    scheme, _, rest = url.partition("://")
    assert (proxy_for(scheme, rest.partition("/")[0]) is None) is direct


@pytest.mark.parametrize(
    ("variables", "scheme", "host"),
    [
        ({"https_proxy": "a", "HTTPS_PROXY": "b", "ALL_PROXY": "c"}, "https", "a"),
        ({"HTTPS_PROXY": "b", "all_proxy": "c"}, "https", "b"),
        ({"all_proxy": "c", "ALL_PROXY": "d"}, "https", "c"),
        ({"ALL_PROXY": "http://d:1"}, "http", "d"),
        ({"HTTPS_PROXY": "b"}, "http", None),
        ({"https_proxy": "", "HTTPS_PROXY": "b"}, "https", "b"),
        ({"https_proxy": " ", "ALL_PROXY": ""}, "https", None),
        ({"HTTP_PROXY": "a"}, "http", "a"),
        ({"HTTP_PROXY": "a", "REQUEST_METHOD": "GET"}, "http", None),
        ({"http_proxy": "a", "REQUEST_METHOD": "GET"}, "http", "a"),
        ({}, "https", None),
    ],
    ids=str,
)
def test_which_variable_decides(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], scheme: str, host: str | None
) -> None:
    """Lower case goes before upper case, the scheme's own before ALL_PROXY; an empty one is as good as none."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(scheme, "example.com")
    assert (found.host if found else None) == host


@pytest.mark.parametrize(
    "variable", ["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "OCI_METADATA_BASE_URL"]
)
def test_a_metadata_service_of_ones_own(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Wherever the variables put it, it is asked directly: what it says is a credential."""
    monkeypatch.setenv(variable, "http://metadata.internal:8080/opc/v2")
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example")
    assert is_direct("http://metadata.internal:8080/opc/v2/identity/key.pem")
    assert not is_direct("http://other.internal:8080/")


def test_a_proxy_that_is_none_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy in ALL_PROXY is not taken for an HTTP proxy, nor skipped."""
    monkeypatch.setenv("all_proxy", "socks5h://proxy.example:1080")
    with pytest.raises(ConfigError, match="ALL_PROXY is not the address of an HTTP proxy"):
        proxy_for("https", "example.com")


@pytest.mark.parametrize(
    ("exceptions", "host"),
    [
        ("example.invalid", "example.invalid"),
        ("example.invalid", "s3.example.invalid"),
        ("example.invalid", "notexample.invalid"),
        (".example.invalid", "s3.example.invalid"),
        ("*", "s3.example.invalid"),
        ("a.invalid,example.invalid", "example.invalid"),
        ("203.0.113.0/24", "203.0.113.9"),
        ("203.0.113.0/24", "203.0.114.9"),
        ("203.0.113.9", "203.0.113.9"),
    ],
)
def test_curl_reads_it_alike(monkeypatch: pytest.MonkeyPatch, exceptions: str, host: str) -> None:
    """The real curl goes where we go. It runs in a network of its own, so that nothing leaves the machine."""
    if not shutil.which("curl"):
        absent("curl", "apt-get install curl")
    environment = {"PATH": os.environ["PATH"], "all_proxy": "http://127.0.0.1:1", "no_proxy": exceptions}
    command = ["unshare", "-n", "curl", "-sv", "--max-time", "3", f"http://{host}/"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    if "unshare: " in ran.stderr:
        absent("a network namespace", ran.stderr.strip())
    is_proxied = "127.0.0.1" in ran.stderr
    monkeypatch.setenv("no_proxy", exceptions)
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    assert (proxy_url(f"http://{host}/") is not None) is is_proxied

"""What an installation carries: no SDK of Oracle's, and not much else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from keepstep_localcloud.environment import read_exports
from keepstep_localcloud.server import LocalCloud

_MOST = 150_000_000
"""Bytes of ``pip install 'keepstep[aws,oci]'`` in a fresh environment, pip itself included."""
_PIP = 30_000_000
"""Bytes of pip and setuptools with their bytecode, which such an environment begins with."""


def closure(
    name: str, extras: frozenset[str], found: dict[str, Distribution] | None = None
) -> dict[str, Distribution]:
    """A distribution of this environment and all that it requires here, by name."""
    found = {} if found is None else found
    found[name.lower()] = distribution(name)
    for text in found[name.lower()].requires or ():
        requirement = Requirement(text)
        wanted = [{"extra": extra} for extra in sorted(extras or {""})]
        if requirement.marker and not any(requirement.marker.evaluate(each) for each in wanted):
            continue
        if requirement.name.lower() not in found or requirement.extras:
            closure(requirement.name, frozenset(requirement.extras), found)
    return found


def size(of: Distribution) -> int:
    """Bytes on disk; every module counts twice, as its bytecode is about as large."""
    paths = [Path(str(file.locate())) for file in of.files or () if file.suffix != ".pyc"]
    return sum(path.stat().st_size * (1 + (path.suffix == ".py")) for path in paths if path.is_file())


def test_an_installation_is_small() -> None:
    """What keepstep[aws,oci] requires stays below 150 MB, and Oracle's SDK is not among it."""
    parts = closure("keepstep", frozenset({"aws", "oci"}))
    assert {"botocore", "cryptography", "httptools"} <= parts.keys()
    assert "oci" not in parts
    package = Path(__file__).parents[2] / "src" / "keepstep"
    own = 2 * sum(path.stat().st_size for path in package.rglob("*.py"))
    sizes = {name: size(part) for name, part in parts.items() if name != "keepstep"} | {"keepstep": own}
    assert sizes["botocore"] > 10_000_000  # what is counted is there
    assert sum(sizes.values()) + _PIP < _MOST, sorted(sizes.items(), key=lambda item: -item[1])


_WITHOUT = """
import asyncio, sys
sys.modules["oci"] = sys.modules["circuitbreaker"] = sys.modules["OpenSSL"] = None
from keepstep.clouds.oci import OciIdentity, OciSettings
print(asyncio.run(OciIdentity(OciSettings(auth=sys.argv[1], profile=sys.argv[2])).key()).tenancy)
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path_factory.mktemp("cloud"), "--no-aws") as cloud:
        yield cloud


@pytest.mark.parametrize(
    ("auth", "profile", "version"),
    [
        ("api_key", "DEFAULT", "2.2"),
        ("security_token", "SESSION", "2.2"),
        ("instance_principal", "DEFAULT", "2.2"),
        ("resource_principal", "DEFAULT", "2.2"),
        ("resource_principal", "DEFAULT", "1.1"),
    ],
)
def test_nobody_needs_the_sdk(cloud: LocalCloud, auth: str, profile: str, version: str) -> None:
    """Where it cannot be imported every way to authenticate works; a pod's is tried in tests/clouds."""
    prefix = "OCI_RESOURCE_PRINCIPAL"
    env = {
        **cloud.env,
        **read_exports(cloud.directory / "oci" / "function.env"),
        f"{prefix}_VERSION": version,
        f"{prefix}_RPT_ENDPOINT": cloud.endpoint,
    }
    words = [sys.executable, "-c", _WITHOUT, auth, profile]
    ran = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == cloud.tenancy, ran.stderr

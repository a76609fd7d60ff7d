"""OCI Vault as the official ``oci`` command sees it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keepstep_localcloud.server import LocalCloud

pytestmark = pytest.mark.long

OCI = str(Path(sys.executable).with_name("oci"))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    """Runs ``oci ARGUMENTS`` against a local OCI, and gives its JSON."""
    with LocalCloud(tmp_path) as cloud:
        env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], **cloud.env}

        def run(*arguments: str) -> Any:
            done = subprocess.run([OCI, *arguments], env=env, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout or "null")

        yield run


def content(text: str) -> tuple[str, str]:
    return "--secret-content-content", base64.b64encode(text.encode()).decode()


def test_a_secret_from_the_command_line(run: Any) -> None:
    """Create, stage, promote, read, list, delete a version and the secret, as the CLI's help describes them."""
    vault = ("--compartment-id", "ocid1.compartment.oc1..cli", "--vault-id", "ocid1.vault.oc1.iad.cli")
    wait = ("--wait-for-state", "ACTIVE", "--wait-interval-seconds", "1")
    made = run(
        *("vault", "secret", "create-base64", *vault, "--key-id", "ocid1.key.oc1..k"),
        *("--secret-name", "db", *content("one"), *wait),
    )
    secret = ("--secret-id", made["data"]["id"])
    staged = run(
        *("vault", "secret", "update-base64", *secret, *content("two"), "--secret-content-stage", "PENDING"),
        *("--secret-content-name", "rot-g2", "--if-match", made["etag"]),
    )
    promoted = run(
        "vault", "secret", "update", *secret, "--current-version-number", "2", "--if-match", staged["etag"]
    )
    assert promoted["data"]["current-version-number"] == 2
    bundle = run("secrets", "secret-bundle", "get", *secret, "--stage", "CURRENT")["data"]
    assert (bundle["version-name"], bundle["stages"]) == ("rot-g2", ["CURRENT", "LATEST"])
    assert base64.b64decode(bundle["secret-bundle-content"]["content"]) == b"two"
    run("vault", "secret", "update-base64", *secret, *content("three"))
    when = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    run(
        "vault",
        "secret-version",
        "schedule-deletion",
        *secret,
        "--secret-version-number",
        "1",
        "--time-of-deletion",
        when,
    )
    versions = run("vault", "secret-version", "list", *secret, "--all", "--page-size", "1", "--sort-order", "ASC")[
        "data"
    ]
    assert [(v["version-number"], v["stages"]) for v in versions] == [
        (1, ["DEPRECATED"]),
        (2, ["PREVIOUS"]),
        (3, ["CURRENT", "LATEST"]),
    ]
    assert versions[0]["time-of-deletion"].startswith(when[:16])
    run("vault", "secret", "schedule-secret-deletion", *secret)
    [listed] = run("vault", "secret", "list", *vault[:2], "--name", "db")["data"]
    assert listed["lifecycle-state"] == "PENDING_DELETION"

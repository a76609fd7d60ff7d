"""A host that runs the commands for real: a folder for its files, a local OCI, and the official SDK to fill it."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from keepstep_localcloud.faults import Faults
from keepstep_localcloud.server import LocalCloud

_numbers = itertools.count()


class CloudSecrets:
    """OCI Vault, by the official SDK's management client."""

    def __init__(self, cloud: LocalCloud) -> None:
        import oci

        self.cloud = cloud
        config = oci.config.from_file(str(cloud.config))
        self._client: Any = oci.vault.VaultsClient(config, service_endpoint=cloud.endpoint)
        self._models: Any = oci.vault.models

    def create(self, content: bytes | str) -> str:
        """A new secret's OCID."""
        details = self._models.CreateSecretDetails(
            compartment_id=self.cloud.tenancy,
            vault_id="ocid1.vault.oc1.iad.host",
            key_id="ocid1.key.oc1.iad.k",
            secret_name=f"host-{os.getpid()}-{next(_numbers)}",
            secret_content=self._content(content),
        )
        return str(self._client.create_secret(details).data.id)

    def put(self, ocid: str, content: bytes | str) -> None:
        """A new current version."""
        self._client.update_secret(ocid, self._models.UpdateSecretDetails(secret_content=self._content(content)))

    def wait_until_asked(self) -> None:
        """Returns when a request has met the one fault that is set."""
        deadline = time.monotonic() + 60
        while True:
            with urllib.request.urlopen(self.cloud.endpoint + Faults.PATH) as answer:
                [fault] = json.load(answer)
            if fault["seen"]:
                return
            assert time.monotonic() < deadline, "nobody asked"
            time.sleep(0.05)

    def _content(self, content: bytes | str) -> Any:
        raw = content.encode() if isinstance(content, str) else content
        return self._models.Base64SecretContentDetails(content=base64.b64encode(raw).decode())


class Host:
    """``host.apply()`` runs ``oci-secretsync`` on the host's map."""

    def __init__(self, folder: Path, cloud: LocalCloud) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.run.mkdir(mode=0o700)
        self.map = folder / "map.csv"
        self.env = {**os.environ, **cloud.env}
        (folder / "keepstep.toml").write_text(f'[state]\nurl = "sqlite:///{folder}/state/state.db"\n')

    def write_map(self, *lines: str) -> None:
        self.map.write_text("# ocid,path,mode,container,signal\n\n" + "".join(f"{line}\n" for line in lines))

    def line(self, ocid: str, name: str, *more: str) -> str:
        return ",".join([ocid, str(self.run / name), *more])

    def apply(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.command("keepstep.cli.oci_secretsync", str(self.map), *options)

    def keepstep(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.command("keepstep", *words)

    def command(self, module: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", module, *words]
        return subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120, check=False
        )

    def files(self) -> list[str]:
        """Everything beneath the folder for secrets, hidden files too."""
        return sorted(str(path.relative_to(self.run)) for path in self.run.rglob("*"))

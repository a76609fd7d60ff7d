"""What cloud-init starts on a machine of oci-secrets-host, run in new systems that have nothing but their base.

The root is debootstrap's smallest, its mirror cannot be reached by HTTP, as where port 443 is the only way out, and
the module's own policies are in force. Only systemd is not there: its words are noted.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keepstep_localcloud.server import LocalCloud
from tests.deploy.base import minimal_debian
from tests.deploy.test_oci_apply import applied, give, prepared, user_data
from tests.deploy.test_packages import built as built

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
NAMESPACE = "examplens"
"""That of the stand-in for Oracle's provider."""


class Root:
    """A system, entered by chroot."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sh(self, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
        }
        command = ["chroot", str(self.path), "/bin/sh", "-c", script]
        ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900, check=False)
        assert not check or ran.returncode == 0, ran.stdout + ran.stderr
        return ran

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        place = self.path / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def read(self, path: str) -> str:
        return (self.path / path.lstrip("/")).read_text()

    def asked(self) -> list[str]:
        """What systemd was told since the last time."""
        log = self.path / "systemctl.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines


@contextmanager
def rooted(suite: str, folder: Path) -> Iterator[Root]:
    path = folder / suite
    path.mkdir()
    subprocess.run(["tar", "-C", path, "-xf", minimal_debian(suite, folder)], check=True)
    root = Root(path)
    root.write(
        "/etc/apt/apt.conf.d/99blocked",
        'Acquire::http::Proxy "http://127.0.0.1:1";\nAcquire::https::Proxy "DIRECT";\n',
    )
    root.write("/usr/local/bin/systemctl", '#!/bin/sh\necho "$*" >>/systemctl.log\n', 0o755)
    shutil.copy("/etc/resolv.conf", path / "etc" / "resolv.conf")
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", path / "etc" / "ssl" / "certs" / "ca-certificates.crt")
    subprocess.run(["mount", "-t", "proc", "proc", path / "proc"], check=True)
    subprocess.run(["mount", "--bind", "/dev", path / "dev"], check=True)
    try:
        yield root
    finally:
        for name in ("proc", "dev"):
            subprocess.run(["umount", "-l", path / name], check=True)


class Host:
    """The module applied, and a local OCI that holds what it made."""

    def __init__(self, cloud: LocalCloud, folder: Path, package: str) -> None:
        import oci

        config = oci.config.from_file(str(cloud.config))
        self.storage: Any = oci.object_storage.ObjectStorageClient(config, service_endpoint=cloud.endpoint)
        self.topics: Any = oci.ons.NotificationControlPlaneClient(config, service_endpoint=cloud.endpoint)
        self.vaults: Any = oci.vault.VaultsClient(config, service_endpoint=cloud.endpoint)
        self.models = oci
        self.cloud = cloud
        self.package = package
        self.tool = prepared("oci-secrets-host", folder, package=package)
        self.tool.run("init", "-input=false")
        self.bucket = ""
        details = oci.ons.models.CreateTopicDetails(name="host", compartment_id=cloud.tenancy)
        self.topic = str(self.topics.create_topic(details).data.topic_id)

    def secret(self, name: str, text: str) -> str:
        import base64

        content = self.models.vault.models.Base64SecretContentDetails(
            content=base64.b64encode(text.encode()).decode()
        )
        details = self.models.vault.models.CreateSecretDetails(
            compartment_id=self.cloud.tenancy,
            vault_id="ocid1.vault.oc1.iad.v",
            key_id="ocid1.key.oc1.iad.k",
            secret_name=name,
            secret_content=content,
        )
        return str(self.vaults.create_secret(details).data.id)

    def apply(self, **given: Any) -> dict[str, Any]:
        """The module's resources; its object is put where the machine finds it."""
        give(self.tool, region=self.cloud.facts["region"], package=self.package, **given)
        made = applied(self.tool)
        if not self.bucket:
            self.bucket = made["oci_objectstorage_bucket.configuration"]["name"]
            details = self.models.object_storage.models.CreateBucketDetails(
                name=self.bucket, compartment_id=self.cloud.tenancy
            )
            self.storage.create_bucket(self.cloud.namespace, details)
        content = made["oci_objectstorage_object.configuration"]["content"]
        theirs = made["oci_ons_notification_topic.this"]["topic_id"]
        content = content.replace(theirs, self.topic)
        self.storage.put_object(self.cloud.namespace, self.bucket, "machine/configuration.json", content.encode())
        return made


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_a_new_machine(suite: str, built: tuple[Path, Path], tmp_path: Path) -> None:
    """It installs keepstep by port 443 alone, fetches what it does, delivers, tells Monitoring; changes arrive."""
    with LocalCloud() as cloud, rooted(suite, tmp_path) as root:
        shutil.copy(built[1], root.path)
        host = Host(cloud, tmp_path, f"keepstep[oci,secrets,daemon] @ file:///{built[1].name}")
        one, two = host.secret("one", "first"), host.secret("two", "second")
        made = host.apply(secrets=[{"ocid": one, "path": "/run/secrets/a"}])
        statements = statements_of(made)
        cloud_init(root, made, cloud)
        assert root.asked() == [
            "daemon-reload",
            "enable --now keepstep-machine.timer",
            "start --no-block keepstep-machine.service",
        ]
        run = "/usr/local/lib/keepstep-machine/run"
        with cloud.policy(*statements):
            root.sh(run)
            asked = root.asked()
            assert "enable --now --no-block run-secrets.mount keepstep-secrets@host.timer" in asked
            assert "--no-block start keepstep-secrets@host.service" in asked
            assert one in root.read("/etc/oci-secretsync/map.csv")
            assert root.sh("keepstep secrets apply host", check=False).returncode == 3
            assert root.read("/run/secrets/a") == "first"
            # Nothing new: nothing is written or restarted.
            assert root.sh(run).stdout == ""
            assert [line for line in root.asked() if "start" in line] == []
        more = [{"ocid": one, "path": "/run/secrets/a"}, {"ocid": two, "path": "/run/secrets/b", "mode": "0400"}]
        statements = statements_of(host.apply(secrets=more))
        with cloud.policy(*statements):
            assert "changed: /etc/oci-secretsync/map.csv" in root.sh(run).stdout
            assert "--no-block start keepstep-secrets@host.service" in root.asked()
            assert root.sh("keepstep secrets apply host", check=False).returncode == 3
        assert root.read("/run/secrets/b") == "second"
        metrics = [json.loads(line) for line in (cloud.directory / "metrics.jsonl").read_text().splitlines()]
        assert [(each["name"], each["dimensions"]["job"]) for each in metrics] == [("success", "host")] * 2
        refuses_what_is_wrong(host, root, run)


def refuses_what_is_wrong(host: Host, root: Root, run: str) -> None:
    """A configuration that is wrong changes nothing, and says so."""
    before = root.read("/etc/keepstep/keepstep.toml")
    place = (host.cloud.namespace, host.bucket, "machine/configuration.json")
    document = json.loads(host.storage.get_object(*place).data.content)
    document["files"]["/etc/keepstep/keepstep.toml"]["text"] = "[job]\nnonsense = 1\n"
    host.storage.put_object(*place, json.dumps(document).encode())
    ran = root.sh(run, check=False)
    assert ran.returncode == 1 and "the machine keeps the old one" in ran.stderr
    document["files"] = {"/etc/keepstep/../passwd": {"text": "", "mode": "0644", "then": []}}
    host.storage.put_object(*place, json.dumps(document).encode())
    ran = root.sh(run, check=False)
    assert ran.returncode == 1 and "is not a place" in ran.stderr
    assert root.read("/etc/keepstep/keepstep.toml") == before


def statements_of(made: dict[str, Any]) -> list[str]:
    policies = [values for name, values in made.items() if name.startswith("oci_identity_policy.")]
    return [text for each in policies for text in each["statements"]]


def cloud_init(root: Root, made: dict[str, Any], cloud: LocalCloud) -> None:
    """write_files and runcmd, as cloud-init does them; and where the local OCI is."""
    document = user_data(made["oci_core_instance.this"])
    for file in document["write_files"]:
        root.write(file["path"], file["content"].replace(NAMESPACE, cloud.namespace), int(file["permissions"], 8))
    names = ("OCI_ENDPOINT_URL", "OCI_METADATA_BASE_URL")
    where = "".join(f"{name}='{cloud.env[name]}'\n" for name in names)
    root.write("/etc/keepstep-machine/settings", root.read("/etc/keepstep-machine/settings") + where, 0o600)
    wrapper = "".join(f"export {name}='{cloud.env[name]}'\n" for name in names)
    root.write("/usr/local/sbin/keepstep", f'#!/bin/sh\n{wrapper}exec /usr/local/bin/keepstep "$@"\n', 0o755)
    for words in document["runcmd"]:
        root.sh(" ".join(f"'{word}'" for word in words))


def test_units_of_machines(tmp_path: Path) -> None:
    """systemd finds nothing to say about the unit that installs and applies, nor about its timer."""
    from tests.containers.systemd import analyze

    folder = Path(__file__).parents[2] / "deploy" / "machine"
    for name in ("keepstep-machine.service", "keepstep-machine.timer"):
        text = (folder / name).read_text().replace("/usr/local/lib/keepstep-machine/run", "/bin/true")
        (tmp_path / name).write_text(text)
    ran = analyze("verify", str(tmp_path / "keepstep-machine.service"), str(tmp_path / "keepstep-machine.timer"))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_an_old_system_is_told_what_it_lacks(tmp_path: Path) -> None:
    """Without a Python and a package mirror the run fails with what is missing, and nothing is half there."""
    root = tmp_path / "root"
    run = Path(__file__).parents[2] / "deploy" / "machine" / "run"
    (root / "bin").mkdir(parents=True)
    for tool in ("sh", "mkdir", "chmod", "cat", "sha256sum", "cut", "rm", "id"):
        (root / "bin" / tool).symlink_to(shutil.which(tool) or "")
    settings = root / "settings"
    settings.write_text("PACKAGE='keepstep==0.0.0'\nCONFIGURATION='oci://b@n/machine/'\n")
    script = (
        run.read_text()
        .replace("/opt/keepstep", f"{root}/opt")
        .replace("/var/lib/keepstep-machine", f"{root}/state")
    )
    command = ["/bin/sh", "-c", script, "run", str(settings)]
    ran = subprocess.run(command, env={"PATH": f"{root}/bin"}, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "error: there is no Python 3.11 or newer" in ran.stderr and "hint: " in ran.stderr
    assert os.listdir(root / "opt.d") == []

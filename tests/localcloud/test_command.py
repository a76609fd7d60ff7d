"""``keepstep localcloud`` itself: what it prints, writes, refuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from keepstep import errors
from keepstep.cli.localcloud import command
from keepstep_localcloud.errors import ConfigError
from keepstep_localcloud.ports import RANGE, Ports
from keepstep_localcloud.server import LocalCloud


def test_it_says_ready_and_ends_with_zero(tmp_path: Path) -> None:
    """ "ready" is all it prints, when it serves; SIGINT and SIGTERM end it with 0 and nothing on stderr."""
    for number in (signal.SIGINT, signal.SIGTERM):
        command = [sys.executable, "-m", "keepstep", "localcloud", "--dir", str(tmp_path / "c"), "--no-aws"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout and process.stdout.readline() == "ready\n"
            port = json.loads((tmp_path / "c" / "ports.json").read_text())["oci"]
            socket.create_connection(("127.0.0.1", port)).close()
            process.send_signal(number)
            assert process.communicate(timeout=20) == ("", "")
            assert process.returncode == 0


def test_what_it_writes_is_private_and_complete(cloud: LocalCloud) -> None:
    """Every file with a key or token is 0600; DIR/env exports what clients read, and names the tenancy."""
    for path in [
        cloud.directory / "env",
        *(cloud.directory / "oci").iterdir(),
        *(cloud.directory / "identity").iterdir(),
    ]:
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert cloud.env == {
        "OCI_ENDPOINT_URL": cloud.endpoint,
        "OCI_CLI_ENDPOINT": cloud.endpoint,
        "OCI_CLI_CONFIG_FILE": str(cloud.config),
        "OCI_CLI_PROFILE": "DEFAULT",
        "OCI_METADATA_BASE_URL": f"{cloud.endpoint}/opc/v2",
    }
    assert f"# OCI_TENANCY={cloud.tenancy}\n" in (cloud.directory / "env").read_text()


def test_the_env_file_is_a_shells(cloud: LocalCloud) -> None:
    """Sourcing DIR/env in a shell exports the variables as they are meant."""
    script = f'. "{cloud.directory}/env"; exec env'
    printed = subprocess.run(["sh", "-c", script], env={}, capture_output=True, text=True, check=True).stdout
    assert {f"{name}={value}" for name, value in cloud.env.items()} <= set(printed.splitlines())


def test_a_local_aws_comes_along(tmp_path: Path) -> None:
    """Without --no-aws a local AWS serves beside the local OCI, and DIR/env has its address and keys."""
    with LocalCloud(tmp_path / "c", aws=True) as cloud:
        assert cloud.env.keys() >= {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}
        assert cloud.env["AWS_DEFAULT_REGION"]
        faults = f"{cloud.env['AWS_ENDPOINT_URL']}/_localcloud/faults"
        with urllib.request.urlopen(faults, timeout=20) as answer:
            assert json.load(answer) == []


def test_it_listens_on_loopback_below_the_ephemeral_ports(cloud: LocalCloud) -> None:
    """The port is free for servers, not one the kernel gives to clients, and only 127.0.0.1 answers."""
    port = int(cloud.endpoint.rpartition(":")[2])
    assert port in RANGE
    listening = [
        line.split()[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()
        if f":{port:04X} 00000000" in line
    ]
    assert listening == [f"0100007F:{port:04X}"]


def test_a_port_is_kept_while_it_is_free(tmp_path: Path) -> None:
    """The same port after a restart, another when it is taken; a port that was asked for is insisted on."""
    with Ports(tmp_path).listen("oci", 0) as first:
        port = first.getsockname()[1]
        with Ports(tmp_path).listen("oci", 0) as second:
            assert second.getsockname()[1] != port
        with pytest.raises(ConfigError, match=f"port {port} is in use"):
            Ports(tmp_path).listen("oci", port)
    with Ports(tmp_path).listen("oci", port) as again:
        assert again.getsockname()[1] == port
    with Ports(tmp_path).listen("oci", 0) as kept:
        assert kept.getsockname()[1] == port


def test_a_folder_has_one_cloud(cloud: LocalCloud) -> None:
    """A second local cloud on the same folder is refused, and the first goes on."""
    with pytest.raises(ConfigError, match="another local cloud is using"):
        LocalCloud(cloud.directory).start()
    assert cloud.env


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without uvicorn the command says what to install."""
    for name in [name for name in sys.modules if name == "uvicorn" or name.startswith("keepstep_localcloud.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(command, ["--dir", str(tmp_path)])
    assert isinstance(result.exception, errors.ConfigError)
    assert (str(result.exception), result.exception.hint) == (
        "localcloud needs uvicorn",
        "pip install 'keepstep[demo]'",
    )


def test_an_authority_that_is_none(alone: Callable[..., LocalCloud], tmp_path: Path) -> None:
    """A --federation-ca without a certificate in it is refused by name."""
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        alone("--federation-ca", str(file))


def test_nothing_of_the_identity_is_half_made(tmp_path: Path) -> None:
    """What an interrupted first start left behind is made anew."""
    folder = tmp_path / "c"
    (folder / "identity.new").mkdir(parents=True)
    (folder / "identity.new" / "api_key.pem").write_text("half")
    with LocalCloud(folder) as cloud:
        assert cloud.facts["tenancy"].startswith("ocid1.tenancy.oc1..aaaaaaaa")
        assert os.listdir(folder / "identity") and not (folder / "identity.new").exists()

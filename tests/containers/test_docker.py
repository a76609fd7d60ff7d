"""Where engines are looked for, and what their sockets refuse."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from keepstep.containers import docker_sockets
from keepstep.containers.docker import ContainerEngines
from keepstep.containers.docker_sockets import addresses
from keepstep.containers.interface import Kind, Notice
from keepstep.errors import Transient
from tests.unprivileged import run_unprivileged

ASK = """
import asyncio, sys
from keepstep.containers.docker import ContainerEngines
from keepstep.containers.interface import Kind, Notice
try:
    asyncio.run(ContainerEngines(lambda: sys.argv[1:]).notify(Notice(Kind.CONTAINER, "web", "SIGHUP"), []))
except Exception as exc:
    print(type(exc).__name__, exc, getattr(exc, "hint", None), sep=": ")
"""


def test_the_variables_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_HOST, or Podman's CONTAINER_HOST, is the only engine that is asked."""
    monkeypatch.setenv("CONTAINER_HOST", "unix:///p.sock")
    assert addresses() == ["unix:///p.sock"]
    monkeypatch.setenv("DOCKER_HOST", "tcp://d:2376")
    assert addresses() == ["tcp://d:2376"]


def test_without_them_every_usual_socket_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's and Podman's, root's and our own; what is not a socket is none."""
    for name in ("DOCKER_HOST", "CONTAINER_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert docker_sockets._usual() == [
        "/var/run/docker.sock",
        "/run/podman/podman.sock",
        "/run/user/7/docker.sock",
        "/run/user/7/podman/podman.sock",
    ]
    (tmp_path / "podman").mkdir()
    (tmp_path / "docker.sock").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "podman" / "podman.sock"))
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        assert f"unix://{tmp_path}/podman/podman.sock" in addresses()
        assert f"unix://{tmp_path}/docker.sock" not in addresses()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give the socket away")
def test_a_socket_that_is_not_for_us(tmp_path: Path) -> None:
    """An engine that we may not speak to is Denied, not away, with what to do."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        os.chown(path, 65534, 65534)
        path.chmod(0o600)
        ran = run_unprivileged([sys.executable, "-c", ASK, f"unix://{path}"])
    assert ran.stdout.startswith("Denied: ")
    assert "run as root" in ran.stdout


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("unix:///nowhere.sock", "No such file or directory"),
        ("tcp://127.0.0.1:1", "Connection refused"),
        ("nonsense", "Invalid bind address"),
        ("ssh://user@127.0.0.1", "Install paramiko"),
    ],
)
def test_an_engine_that_does_not_answer(address: str, why: str) -> None:
    """The address is named with the reason: nobody is there, or it is no address that the library knows."""
    with pytest.raises(Transient, match=f"{address} does not answer: .*{why}"):
        asyncio.run(ContainerEngines(lambda: [address]).notify(Notice(Kind.CONTAINER, "web", "SIGHUP"), []))


def test_no_library(tmp_path: Path) -> None:
    """Without the docker library the message says how to install it; nothing else is the matter."""
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "__init__.py").write_text("raise ModuleNotFoundError(name='docker')")
    command = [sys.executable, "-c", ASK, "unix:///nowhere.sock"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=False).stdout
    assert "ConfigError: this needs the library docker" in said
    assert "keepstep[secrets]" in said

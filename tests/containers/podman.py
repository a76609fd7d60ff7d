"""A real Podman with storage of its own, its API on a socket, and containers that listen to signals."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers import absent, program, running, wait_until

IMAGE = "localhost/busybox:tests"
_CONTAINERS = """[containers]
netns = "host"
cgroupns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_LISTENER = """trap 'echo HUP >> /told/{name}' HUP; trap 'echo USR1 >> /told/{name}' USR1; trap exit TERM
echo up >> /told/{name}
while :; do sleep 0.05; done"""


class Podman:
    """Containers share the folder ``told``, in which each writes what it receives into a file of its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told = folder / "told"
        self.socket = f"unix://{folder}/podman.sock"
        self._program = program("podman", "Podman")
        self.env = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "HOME": str(folder),
        }

    def run(self, *words: str, check: bool = True) -> str:
        command = [self._program, *words]
        ran = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=False)
        if check and ran.returncode:
            raise RuntimeError(f"podman {words[0]}: {ran.stderr}")
        return ran.stdout

    def prepare(self) -> None:
        self.told.mkdir()
        (self.folder / "containers.conf").write_text(_CONTAINERS)
        storage = f'[storage]\ndriver = "vfs"\nrunroot = "{self.folder}/run"\ngraphroot = "{self.folder}/graph"\n'
        (self.folder / "storage.conf").write_text(storage)
        root = self.folder / "root"
        (root / "bin").mkdir(parents=True)
        shutil.copy(program("busybox", "busybox"), root / "bin" / "busybox")
        for name in ("sh", "sleep", "cat"):
            (root / "bin" / name).symlink_to("busybox")
        archive = self.folder / "root.tar"
        subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "."], check=True)
        try:
            self.run("import", str(archive), IMAGE)
        except RuntimeError as exc:
            absent("Podman", f"it cannot work here: {exc}")

    def start(self, name: str, *options: str) -> str:
        """A running container that writes what it receives; returns when its traps are set."""
        script = _LISTENER.format(name=name)
        volume = f"{self.told}:/told"
        self.run("run", "-d", "--name", name, "-v", volume, *options, IMAGE, "/bin/sh", "-c", script)
        self.wait_for(name, "up")
        return name

    def heard(self, name: str) -> list[str]:
        """Everything that a container was told, ``up`` for each start."""
        path = self.told / name
        return path.read_text().split() if path.exists() else []

    def wait_for(self, name: str, word: str, times: int = 1) -> None:
        deadline = time.monotonic() + 10
        while self.heard(name).count(word) < times:
            assert time.monotonic() < deadline, f"{name} heard {self.heard(name)}, not {times} {word}"
            time.sleep(0.02)


@contextlib.contextmanager
def podman() -> Iterator[Podman]:
    """Started once a worker; ends with every container that it has."""
    if os.geteuid():
        absent("Podman", "the tests run it as root")
    # sockets have short names
    folder = Path(tempfile.mkdtemp(prefix="keepstep-podman-"))
    try:
        engine = Podman(folder)
        engine.prepare()
        log = folder / "service.log"
        command = [engine._program, "system", "service", "--time=0", engine.socket]
        with running(command, log=log, env=engine.env) as process:
            wait_until((folder / "podman.sock").exists, process, timeout=20, log=log)
            try:
                yield engine
            finally:
                engine.run("rm", "--all", "--force", "--time", "0", check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

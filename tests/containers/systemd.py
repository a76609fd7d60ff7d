"""A real systemd, booted in a container of its own: the machine's programs, but none of its services or files."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.containers.podman import Podman, podman
from tests.servers import absent, program

REPOSITORY = Path(__file__).parents[2]
SYSTEMD = "/lib/systemd/systemd"
OURS, VENV, PYTHON = "/opt/keepstep", "/opt/venv", Path(sys.executable).name


class Machine:
    """Runs until its block ends. ``root`` is its file system; nothing of the machine around it can be written."""

    def __init__(self, engine: Podman, root: Path) -> None:
        self.root = root
        self._engine = engine

    def boot(self) -> None:
        for name in (
            "usr",
            "etc/systemd/system",
            "var/log",
            "run",
            "tmp",
            "proc",
            "sys",
            "dev",
            "root",
            "usr-local-bin",
        ):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            if Path("/usr", name).exists():
                (self.root / name).symlink_to(f"usr/{name}")
        for name in ("passwd", "group", "nsswitch.conf", "os-release", "ld.so.cache", "ld.so.conf"):
            with contextlib.suppress(OSError):
                (self.root / "etc" / name).write_bytes(Path("/etc", name).read_bytes())
        (self.root / "etc" / "machine-id").touch()
        self._write_programs()
        target = self.root / "etc" / "systemd" / "system" / "default.target"
        target.symlink_to("/usr/lib/systemd/system/multi-user.target")
        options = ["--network=none", "--systemd=always", "--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined"]
        options += ["--security-opt=apparmor=unconfined", "-v", f"{self.root}/usr-local-bin:/usr/local/bin:ro"]
        for path, there in self._visible().items():
            options += ["-v", f"{path}:{there}:ro"]
        try:
            self._engine.run("run", "-d", "--name", "machine", *options, "--rootfs", str(self.root), SYSTEMD)
        except RuntimeError as exc:
            absent("systemd in a container", str(exc))
        self.wait(lambda: self.sh("systemctl is-system-running", check=False).strip() in ("running", "degraded"))

    def _write_programs(self) -> None:
        """``keepstep`` and ``oci-secretsync``, as an installation has them."""
        for name, module in (("keepstep", "keepstep"), ("oci-secretsync", "keepstep.cli.oci_secretsync")):
            path = self.root / "usr-local-bin" / name
            path.write_text(
                f"#!/bin/sh\nexport PYTHONPATH={OURS}/src:{OURS}/localcloud/src\n"
                f'exec {VENV}/bin/{PYTHON} -m {module} "$@"\n'
            )
            path.chmod(0o755)

    def _visible(self) -> dict[Path, str]:
        """The system's programs, Python with its packages, and ourselves: where a sandbox hides none of them.

        /tmp and /home, where a checkout may be, are not the same for a unit.
        """
        base = Path(sys.base_prefix).resolve()
        visible = {Path("/usr"): "/usr", Path(sys.prefix): VENV, REPOSITORY: OURS}
        return visible if Path("/usr") in (base, *base.parents) else visible | {base: str(base)}

    def sh(self, script: str, *, check: bool = True) -> str:
        """What a shell in the machine prints."""
        return self._engine.run("exec", "machine", "/bin/sh", "-c", script, check=check)

    def start(self, script: str) -> None:
        """Something that goes on in the machine."""
        self._engine.run("exec", "-d", "machine", "/bin/sh", "-c", script)

    def wait(self, ready: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                raise AssertionError(self.sh("systemctl --failed; journalctl -n 50 --no-pager", check=False))
            time.sleep(0.3)

    def install(self, name: str, text: str) -> None:
        """A unit, or a drop-in (``x.timer.d/fast.conf``)."""
        path = self.root / "etc" / "systemd" / "system" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def shows(self, unit: str, what: str) -> str:
        """A unit's property."""
        return self.sh(f"systemctl show -P {what} {unit}").strip()


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    if not Path(SYSTEMD).exists():
        absent("systemd", "apt-get install systemd")
    with podman() as engine:
        booted = Machine(engine, engine.folder / "machine")
        booted.boot()
        yield booted


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """``systemd-analyze``, which needs no running systemd for what we ask."""
    command = [program("systemd-analyze", "systemd"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

"""Images built by buildah and run by Podman, in storage of their own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.servers import absent, program

REPOSITORY = Path(__file__).parents[2]
CONTAINERFILE = REPOSITORY / "deploy" / "container" / "Containerfile"
UV_CACHE = Path(os.environ.get("UVUV_CACHE_DIR") or Path.home() / ".cache" / "uv")
"""uv's, found before the tests have homes of their own."""
_CONTAINERS = """[containers]
netns = "host"
cgroupns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Images:
    """One store of images. Everything in it ends with its block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._buildah, self._podman = program("buildah", "buildah"), program("podman", "Podman")
        self.env = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "HOME": str(folder),
        }
        (folder / "containers.conf").write_text(_CONTAINERS)
        self.context = folder / "context"
        _copy_context(self.context)

    def add_base(self, name: str, archive: Path) -> str:
        """Overlay file systems where the machine has them; copies where it has not."""
        complaint = ""
        for driver in ("overlay", "vfs"):
            places = f'runroot = "{self.folder}/run"\ngraphroot = "{self.folder}/{driver}"\n'
            (self.folder / "storage.conf").write_text(f'[storage]\ndriver = "{driver}"\n{places}')
            made = self._call([self._podman, "import", "--quiet", str(archive), f"localhost/{name}"], 300)
            if made.returncode == 0:
                return f"localhost/{name}"
            complaint = made.stderr
        return absent("Podman", f"it cannot work here: {complaint}")

    def sees(self, base: str) -> set[str]:
        """What a build gets to see of the context, by name."""
        script = self.folder / "sees"
        script.write_text(f"FROM {base}\nCOPY . /context\n")
        command = [self._buildah, "build", "--isolation", "chroot", "--file", str(script), "--tag", "sees"]
        made = self._call([*command, str(self.context)], 300)
        assert made.returncode == 0, made.stderr
        listed = self.run("localhost/sees", "/bin/sh", "-c", "cd /context && find . -type f")
        return {name.removeprefix("./") for name in listed.stdout.splitlines()}

    def build(self, tag: str, *, base: str, target: str = "keepstep", extras: str = "", again: bool = False) -> str:
        """The image's name. ``again`` uses no layer of an earlier build."""
        command = [
            self._buildah,
            "build",
            "--isolation",
            "chroot",
            "--format",
            "docker",
            "--timestamp",
            "315532800",
        ]
        command += [
            "--layers",
            *(["--no-cache"] if again else []),
            "--file",
            str(CONTAINERFILE),
            "--target",
            target,
        ]
        command += ["--tag", tag, "--build-arg", f"BASE={base}", "--build-arg", "VERSION=1", *self._visible()]
        command += ["--build-arg", f"EXTRAS={extras}"] if extras else []
        made = self._call([*command, str(self.context)], 1500)
        assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-3000:]
        return f"localhost/{tag}"

    def _visible(self) -> list[str]:
        """What pip and uv need to find packages from here, and what uv has found before; none of it stays."""
        said = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True
        ).stdout
        local = [Path(found) for found in re.findall(r"file://(/[^\s'\"]+)", said)]
        paths = [path for path in (Path("/etc/ssl/certs"), Path("/etc/pip.conf"), *local) if path.exists()]
        options = [word for path in paths for word in ("--volume", f"{path}:{path}:ro")]
        return [*options, "--volume", f"{UV_CACHE}:/root/.cache/uv"] if UV_CACHE.exists() else options

    def podman(self, *words: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        ran = self._call([self._podman, *words], timeout)
        assert not check or ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
        return ran

    def run(
        self, image: str, *words: str, options: tuple[str, ...] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """A container from its beginning to its end; its root cannot be written."""
        given = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        return self.podman(
            "run", "--rm", "--read-only", "--no-healthcheck", *given, *options, image, *words, check=False
        )

    def python(self, image: str, code: str) -> str:
        """What a program prints that the image's Python runs."""
        ran = self.run(image, "-c", code, options=("--entrypoint", "/opt/keepstep/bin/python"))
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def inspect(self, image: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.podman("image", "inspect", image).stdout)
        return found[0]

    def _call(self, command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )


def _copy_context(folder: Path) -> None:
    """What the Containerfile copies, as it is now: whoever edits it meanwhile changes no image."""
    folder.mkdir()
    for name in (
        "requirements.lock",
        "pyproject.toml",
        "hatch_build.py",
        "README.md",
        "LICENSE",
        ".containerignore",
    ):
        shutil.copy(REPOSITORY / name, folder)
    for name in ("src", "localcloud", "deploy/container"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


def pins(text: str) -> dict[str, set[str]]:
    """Each ``name==version`` of a requirements file, and the hashes that its archives may have."""
    found = re.findall(r"^([a-z0-9.-]+==[^\s;]+).*\\\n((?: +--hash=.*\n?)+)", text, re.MULTILINE)
    return {name: set(re.findall(r"sha256:\w+", hashes)) for name, hashes in found}


@contextlib.contextmanager
def images() -> Iterator[Images]:
    if os.geteuid():
        absent("buildah", "the tests run it as root")
    # sockets have short names
    folder = Path(tempfile.mkdtemp(prefix="keepstep-images-"))
    try:
        store = Images(folder)
        yield store
        if (folder / "storage.conf").exists():
            store.podman("rm", "--all", "--force", "--time", "0", check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

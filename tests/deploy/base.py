"""Bases for the image: this machine's own Python and nothing else, or Debian's, by debootstrap."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable
from pathlib import Path

from tests.servers import absent, program

_LEFT_OUT = re.compile(
    r"/(site-packages|dist-packages|test|tests|idlelib|tkinter|config-[^/]+)(/|$)|\.opt-[12]\.pyc$"
)
_LIBRARIES = ("libgcc_s.so.1", "libstdc++.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2")
"""What wheels may expect of every Linux (PEP 600)."""
_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_DEBIAN = Path.home() / ".cache" / "keepstep" / "debian-python.tar"


def small_base(folder: Path) -> Path:
    """An archive with the interpreter that runs the tests, its libraries, and BusyBox; some 60 MB."""
    archive = folder / "base.tar"
    busybox = Path(program("busybox", "busybox"))
    with tarfile.open(archive, "w") as tar:
        for name in ("etc", "tmp", "root", "proc", "sys", "dev", "usr/local/bin", "usr/bin", "bin"):
            _folder(tar, name, 0o1777 if name == "tmp" else 0o755)
        _put(tar, busybox, "bin/busybox")
        for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True).stdout.split():
            if applet != "busybox":
                _link(tar, f"bin/{applet}", "busybox")
        _link(tar, "usr/bin/env", "../../bin/busybox")
        _text(tar, "etc/passwd", _PASSWD)
        _text(tar, "etc/group", "root:x:0:\nnogroup:x:65534:\n")
        _python(tar)
    return archive


def debian_base(folder: Path) -> Path:
    """An archive of Debian with its Python, as debootstrap makes it; kept for the next time."""
    if not _DEBIAN.exists():
        debootstrap = program("debootstrap", "debootstrap")
        command = [debootstrap, "--variant=minbase", "--include=python3,python3-venv,ca-certificates", "bookworm"]
        made = subprocess.run([*command, folder / "debian"], capture_output=True, text=True, timeout=1500)
        if made.returncode:
            absent("a Debian base", made.stdout[-500:])
        _DEBIAN.parent.mkdir(parents=True, exist_ok=True)
        new = _DEBIAN.with_suffix(f".{os.getpid()}")
        left_out = ["--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*"]
        subprocess.run(["tar", "-C", folder / "debian", *left_out, "-cf", new, "."], check=True)
        new.replace(_DEBIAN)
        shutil.rmtree(folder / "debian")
    return _DEBIAN


def minimal_debian(suite: str, folder: Path) -> Path:
    """An archive of the smallest Debian with certificates, without Python; kept for the next time."""
    kept = _DEBIAN.with_name(f"debian-minimal-{suite}.tar")
    if not kept.exists():
        debootstrap = program("debootstrap", "debootstrap")
        command = [debootstrap, "--variant=minbase", "--include=ca-certificates", suite, str(folder / "minimal")]
        made = subprocess.run(command, capture_output=True, text=True, timeout=1500)
        if made.returncode:
            absent(f"Debian {suite}", made.stdout[-500:])
        kept.parent.mkdir(parents=True, exist_ok=True)
        new = kept.with_suffix(f".{os.getpid()}")
        left_out = ["--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*"]
        subprocess.run(["tar", "-C", folder / "minimal", *left_out, "-cf", new, "."], check=True)
        new.replace(kept)
        shutil.rmtree(folder / "minimal")
    return kept


def _python(tar: tarfile.TarFile) -> None:
    """Below /usr/local, whatever its place here; shared libraries where the loader looks without being told."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = Path(sys.base_prefix, "bin", version).resolve()
    _put(tar, interpreter, f"usr/local/bin/{version}")
    for name in ("python3", "python"):
        _link(tar, f"usr/local/bin/{name}", version)
    loaded = [interpreter]
    for path in sorted(stdlib.rglob("*")):
        if path.is_file() and not _LEFT_OUT.search(f"/{path.relative_to(stdlib)}"):
            _put(tar, path, f"usr/local/lib/{version}/{path.relative_to(stdlib)}")
            if path.suffix == ".so":
                loaded.append(path)
    for path in sorted(Path("/usr/share/python-wheels").glob("*.whl")):
        _put(tar, path, str(path)[1:])
    for place, path in _needed(loaded).items():
        _put(tar, path, place[1:])


def _needed(programs: Iterable[Path]) -> dict[str, Path]:
    """Shared libraries, by where they go: the folder of the C library, but for the loader itself."""
    said = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True).stdout
    found = {Path(path) for path in re.findall(r"=> (/\S+)", said)}
    loader = {Path(path) for path in re.findall(r"^\s+(/\S+) \(", said, re.MULTILINE)}
    home = next(path for path in found if path.name == "libc.so.6").parent
    more = [path for path in (home / name for name in _LIBRARIES) if path.exists()]
    return {f"{home}/{path.name}": path for path in {*found, *more}} | {str(path): path for path in loader}


def _put(tar: tarfile.TarFile, path: Path, name: str) -> None:
    info = tar.gettarinfo(path.resolve(), name)
    info.uid = info.gid = 0
    info.mode = 0o755 if info.mode & 0o100 else 0o644
    with path.open("rb") as content:
        tar.addfile(info, content)


def _folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    tar.addfile(info)


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    tar.addfile(info)


def _text(tar: tarfile.TarFile, name: str, text: str) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(text), 0o644
    tar.addfile(info, io.BytesIO(text.encode()))

"""S3 as others speak it: servers of other makers, as context managers like those of :mod:`tests.servers`."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import (
    HERE,
    REGION,
    Aws,
    absent,
    free_port,
    free_ports,
    program,
    running,
    takes_objects,
    wait_until,
)

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/EXAMPLEKEY"}

S3RVER = "3.7.1"
CEPH = "18.2 (Debian trixie)"
_CACHE = HERE.parent / ".cache"


def as_aws(url: str, process: subprocess.Popen[bytes] | None = None) -> Aws:
    """A server that knows :data:`KEYS`, or asks nobody for any."""
    env = {"AWS_ENDPOINT_URL": url, **KEYS, "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}
    return Aws(url, env, process)


@contextlib.contextmanager
def localbucket(folder: Path) -> Iterator[Aws]:
    """LocalBucket: buckets are folders; no DeleteObjects, no ListParts, no tags."""
    port, data = free_port(), folder / "data"
    data.mkdir()
    command = [program("localbucket", "LocalBucket"), "--port", str(port), str(data)]
    with running(command, log=folder / "localbucket.log") as process:
        yield _listening(as_aws(f"http://127.0.0.1:{port}", process), process, folder / "localbucket.log")


@contextlib.contextmanager
def rclone_s3(folder: Path) -> Iterator[Aws]:
    """``rclone serve s3`` before a folder: signatures are verified."""
    port, data = free_port(), folder / "data"
    data.mkdir()
    keys = f"{KEYS['AWS_ACCESS_KEY_ID']},{KEYS['AWS_SECRET_ACCESS_KEY']}"
    command = [
        program("rclone", "rclone"),
        "serve",
        "s3",
        "--addr",
        f"127.0.0.1:{port}",
        "--auth-key",
        keys,
        str(data),
    ]
    env = {**os.environ, "RCLONE_CONFIG": str(folder / "none")}
    with running(command, log=folder / "rclone.log", env=env) as process:
        yield _listening(as_aws(f"http://127.0.0.1:{port}", process), process, folder / "rclone.log")


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[Aws]:
    """moto's own server, without anything of ours before it."""
    port = free_port()
    command = [program("moto_server", "moto"), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, log=folder / "moto.log") as process:
        yield _listening(as_aws(f"http://127.0.0.1:{port}", process), process, folder / "moto.log")


@contextlib.contextmanager
def ministack(folder: Path) -> Iterator[Aws]:
    """MiniStack's S3. By itself it listens on every interface; it is notified not to, and that is looked at."""
    port = free_port()
    env = {
        **os.environ,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
        "TMPDIR": str(folder),
        "HOME": str(folder),
    }
    with running([program("ministack", "MiniStack")], log=folder / "ministack.log", env=env) as process:
        server = _listening(as_aws(f"http://127.0.0.1:{port}", process), process, folder / "ministack.log")
        assert not open_to_others(process.pid), "MiniStack listens on more than loopback"
        yield server


@contextlib.contextmanager
def s3rver(folder: Path) -> Iterator[Aws]:
    """S3rver, which lists the files of a folder before what is in its folders; from npm, kept for the next time."""
    home = _CACHE / "s3rver"
    if not (home / "node_modules").exists():
        install = [
            program("npm", "npm"),
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            f"s3rver@{S3RVER}",
        ]
        home.mkdir(parents=True, exist_ok=True)
        subprocess.run(install, cwd=home, check=True, capture_output=True)
    port = free_port()
    script = home / "node_modules" / "s3rver" / "bin" / "s3rver.js"
    data = folder / "data"
    data.mkdir()
    options = ["-d", str(data), "-a", "127.0.0.1", "-p", str(port), "--no-vhost-buckets"]
    command = [program("node", "Node.js"), str(script), *options]
    with running(command, log=folder / "s3rver.log") as process:
        server = as_aws(f"http://127.0.0.1:{port}", process)
        server.env.update(AWS_ACCESS_KEY_ID="S3RVER", AWS_SECRET_ACCESS_KEY="S3RVER")
        yield _listening(server, process, folder / "s3rver.log")


@contextlib.contextmanager
def ceph(folder: Path) -> Iterator[Aws]:
    """A node of Ceph with its S3 gateway, from Debian trixie by debootstrap; kept for the next time, needs root."""
    root = _CACHE / "ceph"
    if not (root / "usr/bin/radosgw").exists():
        _unpacked(root, "trixie", ["ceph-mon", "ceph-osd", "radosgw", "ceph-common"])
    shutil.copy(HERE / "ceph_node.sh", root / "root" / "ceph_node.sh")
    mon, gateway = free_ports(2)
    node = f"node-{gateway}"
    inside = ["/bin/sh", "/root/ceph_node.sh", f"/{node}", str(mon), str(gateway), *KEYS.values()]
    names = ["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    mounts = f"mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && exec chroot {root} "
    command = ["unshare", *names, "/bin/sh", "-c", mounts + shlex.join(inside)]
    with contextlib.ExitStack() as ending:
        ending.callback(shutil.rmtree, root / node, ignore_errors=True)
        process = ending.enter_context(running(command, log=folder / "ceph.log"))
        server = as_aws(f"http://127.0.0.1:{gateway}", process)
        client = server.client("s3")
        wait_until(lambda: takes_objects(client), process, timeout=180, log=folder / "ceph.log")
        yield server


def _unpacked(root: Path, suite: str, packages: list[str]) -> None:
    """Debian packages with all that they need, unpacked and not installed: nothing in there runs as a service."""
    made, fetched = root.with_suffix(".new"), root.with_suffix(".debs")
    for folder in (made, fetched):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    options = ["--download-only", "--variant=minbase", f"--include={','.join(packages)}"]
    command = [program("debootstrap", "debootstrap"), *options, suite, str(fetched), *_mirror()]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        absent("Ceph", done.stdout.decode()[-500:])
    archives = sorted(
        (fetched / "var/cache/apt/archives").glob("*.deb"), key=lambda p: not p.name.startswith("base-files")
    )
    for archive in archives:
        subprocess.run(["dpkg-deb", "-x", archive, made], check=True)
    subprocess.run(["chroot", made, "/usr/sbin/ldconfig"], check=True)
    shutil.rmtree(fetched)
    made.replace(root)


def _mirror() -> list[str]:
    """The one that this machine's own packages come from."""
    asked = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"]
    lines = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()
    return [site for site, release in map(str.split, lines) if "-" not in release][:1]


def _listening(server: Aws, process: subprocess.Popen[bytes], log: Path) -> Aws:
    address = urlsplit(server.url)

    def is_there() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", address.port or 0), 1):
            return True
        return False

    wait_until(is_there, process, timeout=60, log=log)
    return server


def open_to_others(pid: int) -> list[str]:
    """The addresses, as the kernel writes them, on which this process can be reached from other machines."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(descriptor))
    found = []
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets and not local.startswith(loopback):
                found.append(local)
    return found

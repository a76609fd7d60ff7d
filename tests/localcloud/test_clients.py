"""Whole programs that no one here wrote: the ``oci`` command and rclone's backend for Oracle Object Storage."""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keepstep_localcloud.server import LocalCloud

BIN = Path(sys.executable).parent
MIB = 1024 * 1024


def make_tree(folder: Path) -> Path:
    """Files of several sizes and names."""
    for name, content in {
        "a.txt": b"one",
        "empty": b"",
        "sub/ü b.csv": b"a,b\n" * 1000,
        "sub/deep/c+d%.bin": os.urandom(300_000),
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def is_same(one: Path, other: Path) -> bool:
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.is_file())
    others = sorted(str(path.relative_to(other)) for path in other.rglob("*") if path.is_file())
    return names == others and filecmp.cmpfiles(one, other, names, shallow=False)[0] == names


@pytest.fixture
def command(cloud: LocalCloud, nobodys_machine: Path) -> Callable[..., Any]:
    """``command("oci", ...)`` in the environment that DIR/env describes; gives what it printed."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(nobodys_machine), **cloud.env}

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(BIN / program), *arguments], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_oci_command(cloud: LocalCloud, bucket: str, command: Callable[..., str], tmp_path: Path) -> None:
    """ns get, object put, list, get, bulk-upload and sync do with the local OCI what they do with the real one."""
    tree = make_tree(tmp_path / "tree")
    there = ("-bn", bucket)
    assert json.loads(command("oci", "os", "ns", "get"))["data"] == cloud.namespace
    put = command("oci", "os", "object", "put", *there, "--file", str(tree / "sub/ü b.csv"), "--name", "x/y z")
    listed = json.loads(command("oci", "os", "object", "list", *there, "--prefix", "x/"))["data"]
    assert [(each["name"], each["size"], each["etag"]) for each in listed] == [
        ("x/y z", 4000, json.loads(put)["etag"])
    ]
    command("oci", "os", "object", "get", *there, "--name", "x/y z", "--file", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == b"a,b\n" * 1000
    command("oci", "os", "object", "bulk-upload", *there, "--src-dir", str(tree), "--object-prefix", "bulk/")
    command("oci", "os", "object", "sync", *there, "--dest-dir", str(tmp_path / "back"), "--prefix", "bulk/")
    assert is_same(tree, tmp_path / "back")


def test_the_oci_command_as_an_instance(cloud: LocalCloud, command: Callable[..., str]) -> None:
    """--auth instance_principal finds the metadata service by itself, and the federation that it is told."""
    federation = f"{cloud.endpoint}/v1/x509"
    instance = ("--auth", "instance_principal", "--federation-endpoint", federation)
    assert json.loads(command("oci", *instance, "os", "ns", "get"))["data"] == cloud.namespace


@pytest.fixture
def rclone(cloud: LocalCloud, command: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """``rclone("copy", ...)`` with the remote ``oci:``."""
    config = tmp_path / "rclone.conf"
    settings = {
        "type": "oracleobjectstorage",
        "provider": "user_principal_auth",
        "config_file": str(cloud.config),
        "config_profile": "DEFAULT",
        "namespace": cloud.namespace,
        "compartment": cloud.tenancy,
        "region": "us-ashburn-1",
        "endpoint": cloud.endpoint,
        "upload_cutoff": "8M",
        "chunk_size": "8M",
    }
    config.write_text("[oci]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    return lambda *arguments: command("rclone", "--config", str(config), "--retries", "1", *arguments)


def test_rclone(rclone: Callable[..., str], bucket: str, tmp_path: Path) -> None:
    """copy, check, lsl, sync both ways, server-side copy, move and delete leave both sides equal."""
    tree, back = make_tree(tmp_path / "tree"), tmp_path / "back"
    there = f"oci:{bucket}/r"
    rclone("copy", str(tree), there)
    rclone("check", "--download", str(tree), there)
    rclone("check", str(tree), there)
    sizes = {str(path.relative_to(tree)): path.stat().st_size for path in tree.rglob("*") if path.is_file()}
    listed = [line.split(maxsplit=3) for line in rclone("lsl", there).splitlines()]
    assert {name: int(size) for size, _, _, name in listed} == sizes
    rclone("sync", there, str(back))
    assert is_same(tree, back)
    (tree / "a.txt").unlink()
    (tree / "new").write_bytes(b"new")
    rclone("sync", str(tree), there)
    rclone("sync", there, str(back))
    assert is_same(tree, back)
    rclone("copyto", f"{there}/new", f"{there}/copied")
    rclone("moveto", f"{there}/copied", f"{there}/moved")
    rclone("deletefile", f"{there}/new")
    assert rclone("lsf", "--files-only", there).split() == ["empty", "moved"]
    assert rclone("cat", f"{there}/moved") == "new"


def test_rclone_sends_two_hundred_megabytes(rclone: Callable[..., str], bucket: str, tmp_path: Path) -> None:
    """A file of 200 MB goes up in parts, comes back the same, and checks."""
    block = os.urandom(MIB)
    with open(tmp_path / "big", "wb") as file:
        for shift in range(200):
            file.write(block[shift:] + block[:shift])
    rclone("copyto", str(tmp_path / "big"), f"oci:{bucket}/big")
    rclone("copyto", f"oci:{bucket}/big", str(tmp_path / "back"))
    assert filecmp.cmp(tmp_path / "big", tmp_path / "back", shallow=False)
    rclone("purge", f"oci:{bucket}")
    (tmp_path / "big").unlink()
    (tmp_path / "back").unlink()

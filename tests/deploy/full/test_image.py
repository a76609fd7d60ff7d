"""The image of deploy/container for those who have only AWS: built from its Containerfile, and run."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pytest

from tests.deploy.images import REPOSITORY, Images, pins
from tests.servers import Aws

_INSTALLED = """
import importlib.metadata as m, re
for d in m.distributions():
    print(re.sub("[-_.]+", "-", d.name).lower() + "==" + d.version)
"""
_WRITABLE = """
import os, stat
for folder, names, files in os.walk("/opt/keepstep"):
    for name in (*names, *files):
        found = os.lstat(os.path.join(folder, name))
        if not stat.S_ISLNK(found.st_mode) and (found.st_uid or found.st_mode & 0o6022):
            print(os.path.join(folder, name), oct(found.st_mode), found.st_uid)
"""


_TREE = """
import csv, os, pathlib, sys
[packages] = pathlib.Path("/opt/keepstep/lib").glob("python3*/site-packages")
known = set()
for record in packages.glob("*.dist-info/RECORD"):
    for name, *_ in csv.reader(record.open()):
        path = packages.joinpath(name)
        known |= {path, path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc"}
for folder, names, files in os.walk("/", followlinks=False):
    names[:] = [name for name in names if not os.path.ismount(os.path.join(folder, name))]
    links = [name for name in names if os.path.islink(os.path.join(folder, name))]
    for name in (*files, *links):
        path = pathlib.Path(folder, name)
        if os.path.ismount(path): continue
        print("package" if path in known else path)
"""
_ALLOWED = re.compile(
    r"package|/(bin|lib|lib64|sbin)"
    r"|/etc/(debian_version|group|hosts|hostname|ld\.so\.cache|mtab|nsswitch\.conf|os-release|passwd|python3\.\d+/sitecustomize\.py"
    r"|resolv\.conf|ssl/certs/ca-certificates\.crt|ssl/openssl\.cnf)"
    r"|/opt/keepstep/(bin/[\w.-]+|function\.py|lib64|pyvenv\.cfg|requirements\.lock|sbom\.cdx\.json)"
    r"|/opt/keepstep/lib/python3\.\d+/site-packages/_virtualenv\.(py|pth)"
    r"|/opt/keepstep/lib/python3\.\d+/site-packages/__pycache__/_virtualenv\.cpython-\d+\.pyc"
    r"|/opt/keepstep/lib/python3\.\d+/site-packages/[\w.]+\.dist-info/\w+"
    r"|/run/\.containerenv|/usr/bin/(cat|chmod|chown|dash|env|id|ls|mkdir|mktemp|python3(\.\d+)?|sh|sleep|stat|test|true)"
    r"|/usr/lib/([\w-]+/)?[\w.+-]+\.so[.\d]*|/usr/lib64/ld-[\w.-]+|/usr/lib/os-release|/usr/lib/ssl/(cert\.pem|openssl\.cnf)"
    r"|/usr/lib/python3\.\d+/[\w/.-]+\.(py|pyc|so|json|txt|cfg|csh|fish|ps1|sh|def|rst|xml)|/usr/lib/python3\.\d+/LICENSE\.txt"
    r"|/usr/local/bin/(entrypoint|healthcheck)|/usr/share/doc/[\w.+-]+(/copyright)?|/usr/share/keepstep/base\.json"
    r"|/usr/share/zoneinfo/[\w/.+-]+|/var/lib/dpkg/status\.d/[\w.+-]+"
)
"""Every file of the image. ``package``: a wheel's own list names it, or it is that file's bytecode."""
_LOADS = """
import os, pathlib, subprocess
places = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")
loader = next(place for place in places if os.path.exists(place))
for path in pathlib.Path("/opt/keepstep/lib").rglob("*.so*"):
    said = subprocess.run([loader, path], env={"LD_TRACE_LOADED_OBJECTS": "1"}, capture_output=True, text=True)
    if said.returncode or "not found" in said.stdout: print(path, said.stdout, said.stderr)
"""


@pytest.fixture(scope="module")
def installed(store: Images, aws_image: str) -> set[str]:
    return set(store.python(aws_image, _INSTALLED).split())


def test_packages_are_those_of_the_lock(store: Images, aws_image: str, installed: set[str]) -> None:
    """Everything that is installed was asked for with a version and hashes that requirements.lock has too."""
    ours = pins((REPOSITORY / "requirements.lock").read_text())
    theirs = pins(store.python(aws_image, "print(open('/opt/keepstep/requirements.lock').read())"))
    assert {name for name, hashes in theirs.items() if not hashes <= ours.get(name, set())} == set()
    assert {name for name in installed if name not in theirs and not name.startswith("keepstep==")} == set()


def test_only_what_was_asked_for(store: Images, aws_image: str, installed: set[str]) -> None:
    """An image for AWS alone carries no OCI SDK, no database driver, no build tool and no pip."""
    names = {name.split("==")[0] for name in installed}
    assert {"keepstep", "boto3"} <= names
    assert names & {"oci", "psycopg", "pymysql", "oracledb", "dbos", "hatchling", "uv", "pip", "fdk"} == set()


def test_the_sbom_names_what_is_installed(store: Images, aws_image: str, installed: set[str]) -> None:
    """/opt/keepstep/sbom.cdx.json is CycloneDX, has every package with its version, and no moment in it."""
    bom = json.loads(store.python(aws_image, "print(open('/opt/keepstep/sbom.cdx.json').read())"))
    assert (bom["bomFormat"], bom["metadata"]["component"]["name"]) == ("CycloneDX", "keepstep")
    parts = [*bom["components"], bom["metadata"]["component"]]
    named = {f"{re.sub('[-_.]+', '-', part['name']).lower()}=={part.get('version')}" for part in parts}
    assert {name for name in installed if name not in named and not name.startswith("keepstep==")} == set()
    assert "serialNumber" not in bom


def test_nothing_is_in_it_that_was_not_meant(store: Images, aws_image: str) -> None:
    """Every file is an allowed one: Python, libraries, a shell, roots of trust, time zones, packages."""
    found = store.python(aws_image, _TREE).splitlines()
    assert len(found) > 2000
    assert sorted({name for name in found if not _ALLOWED.fullmatch(name)}) == []


def test_every_library_finds_what_it_needs(store: Images, image: str) -> None:
    """Of the base nothing is missing that a wheel would load, in the image with everything."""
    assert store.python(image, _LOADS) == ""


def test_the_sbom_names_the_packages_of_the_base(store: Images, aws_image: str) -> None:
    """Debian's packages are in the SBOM by version and package URL, and where scanners look for them."""
    bom = json.loads(store.python(aws_image, "print(open('/opt/keepstep/sbom.cdx.json').read())"))
    purls = [part["purl"] for part in bom["components"] if part.get("purl", "").startswith("pkg:deb/debian/")]
    names = {purl.split("/")[2].split("@")[0] for purl in purls}
    assert {"libc6", "libssl3", "ca-certificates", "coreutils", "python3.11-minimal", "tzdata"} <= names
    assert {"apt", "gcc", "perl-base", "util-linux", "tar"} & names == set()
    listed = store.python(aws_image, "import os; print(*os.listdir('/var/lib/dpkg/status.d'))").split()
    assert set(listed) == names


def test_sizes(store: Images, image: str, aws_image: str) -> None:
    """At most 250 MB with everything for both clouds, 120 MB for AWS alone."""
    assert store.inspect(aws_image)["Size"] <= 120e6
    assert store.inspect(image)["Size"] <= 250e6


def test_nobody_can_write_the_program(store: Images, aws_image: str) -> None:
    """Root owns the program, others cannot write it, and the image's user is not root and has a name."""
    assert store.python(aws_image, _WRITABLE) == ""
    config = store.inspect(aws_image)["Config"]
    assert config["User"] == "65532:65532"
    assert store.python(aws_image, "import getpass; print(getpass.getuser())") == "keepstep\n"
    assert config["Labels"]["org.opencontainers.image.version"] == "1"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_arguments_make_it_the_command(store: Images, aws_image: str) -> None:
    """No argument: the drop-in, which says what it lacks. Arguments: the command, with or without its name."""
    bare = store.run(aws_image)
    assert (bare.returncode, bare.stderr.splitlines()[0]) == (5, "error: SYNC_FROM is not set")
    for words in (["--version"], ["keepstep", "--version"]):
        ran = store.run(aws_image, *words)
        assert (ran.returncode, ran.stdout.split()[0]) == (0, "keepstep")
    assert store.run(aws_image, "oci-secretsync", "--help").returncode == 0


def test_a_sync_at_startup(store: Images, aws_image: str, moto: Aws, tmp_path: Path) -> None:
    """With a root that cannot be written, no capability and a user of no machine, objects arrive in /data."""
    bucket = f"image-{uuid.uuid4().hex[:10]}"
    client = moto.client("s3")
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="in/a", Body=b"1")
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    options = ("--cap-drop=all", "--security-opt=no-new-privileges", "--volume", f"{data}:/data")
    variables = {**moto.env, "SYNC_MODE": "STARTUP", "SYNC_FROM": f"s3://{bucket}/in/", "SYNC_TO": "/data"}
    ran = store.run(aws_image, options=options, **variables)
    assert ran.returncode == 0, ran.stderr
    assert (data / "a").read_text() == "1"
    assert (data / "a").stat().st_uid == 65532


def test_health_without_a_daemon(store: Images, aws_image: str) -> None:
    """Where nothing is served the check passes: a container that waits, or syncs once, is well while it runs."""
    store.podman("run", "-d", "--name", "still", "--env", "SYNC_MODE=", aws_image)
    try:
        assert store.podman("healthcheck", "run", "still", check=False).returncode == 0
    finally:
        store.podman("rm", "--force", "--time", "0", "still")


_TASK = ("--user", "65532:65532", "--cap-drop=all", "--stop-timeout", "60")


def test_it_starts_as_fargate_starts_it(store: Images, aws_image: str, moto: Aws) -> None:
    """A read-only root, /tmp a volume that has the image's owner and mode: a sync between buckets ends with 0."""
    bucket = f"image-{uuid.uuid4().hex[:10]}"
    client = moto.client("s3")
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="in/a", Body=b"1")
    places = {"SYNC_FROM": f"s3://{bucket}/in/", "SYNC_TO": f"s3://{bucket}/out/", "SYNC_DEADLINE": "10m"}
    variables = {**moto.env, "SYNC_MODE": "STARTUP", **places}
    ran = store.run(aws_image, options=(*_TASK, "--volume", f"{bucket}:/tmp"), **variables)
    assert ran.returncode == 0, ran.stderr
    last = json.loads(ran.stderr.splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("run ended", 0)
    assert client.get_object(Bucket=bucket, Key="out/a")["Body"].read() == b"1"


@pytest.mark.parametrize("words", [[], ["keepstep", "demo"]])
def test_a_volume_of_root_is_named(store: Images, aws_image: str, tmp_path: Path, words: list[str]) -> None:
    """Where /tmp and the home are root's, the program says what it cannot write and what to do."""
    folder = tmp_path / "of-root"
    folder.mkdir(mode=0o755)
    mounts = [f"{folder}:{place}" for place in ("/tmp", "/var/tmp", "/home/keepstep", "/var/lib/keepstep")]
    options = (*_TASK, *(word for mount in mounts for word in ("--volume", mount)))
    variables = {"SYNC_MODE": "STARTUP", "SYNC_FROM": "s3://bucket/in/", "SYNC_TO": "s3://bucket/out/"}
    ran = store.run(aws_image, *words, options=options, **variables)
    assert "Traceback" not in ran.stderr
    assert ran.stderr.startswith("error: "), ran.stderr
    assert "hint: " in ran.stderr
    assert ran.returncode == 5

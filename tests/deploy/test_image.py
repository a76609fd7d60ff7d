"""The Containerfile, as far as it is built in seconds; the images themselves are tested in ``full``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.images import CONTAINERFILE, REPOSITORY, UV_CACHE, Images, pins
from tests.servers import program

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("extras", "group", "has", "has_not"),
    [
        ("aws", "", {"boto3"}, {"cryptography", "oci", "dbos", "psycopg", "uv", "hatchling", "fdk"}),
        ("aws,postgres", "lambda", {"boto3", "psycopg", "awslambdaric"}, {"oci", "fdk"}),
        ("oci,oracle", "function", {"cryptography", "oracledb", "fdk"}, {"oci", "boto3", "awslambdaric"}),
    ],
)
def test_only_what_was_asked_for_and_only_from_the_lock(
    tmp_path: Path, extras: str, group: str, has: set[str], has_not: set[str]
) -> None:
    """EXTRAS is resolved to the versions and hashes of requirements.lock, and to no package more."""
    for name in ("requirements.lock", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tmp_path)
    tools = tmp_path / "tools" / "bin"
    tools.mkdir(parents=True)
    for name in ("uv", "python"):
        (tools / name).symlink_to(program(name, name))
    script = (CONTAINERFILE.parent / "install").read_text().replace("tools=/opt/tools", f"tools={tools.parent}")
    (tmp_path / "install").write_text(script)
    words = ["/bin/sh", "install", "resolved", extras, group]
    subprocess.run(words, cwd=tmp_path, check=True, env={**os.environ, "UV_CACHE_DIR": str(UV_CACHE)})
    found = pins((tmp_path / "keepstep.lock").read_text())
    ours = pins((REPOSITORY / "requirements.lock").read_text())
    assert {name for name, hashes in found.items() if not hashes <= ours.get(name, set())} == set()
    names = {name.split("==")[0] for name in found}
    assert has <= names
    assert names & has_not == set()


def test_the_runtime_stage(store: Images, small: str) -> None:
    """Built and run: a user of its own that owns the places for data and state, and nothing else."""
    image = store.build("runtime", base=small, target="runtime")
    labels = store.inspect(image)["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == "1"
    assert labels["org.opencontainers.image.base.name"] == small
    assert {f"org.opencontainers.image.{name}" for name in ("source", "created", "revision", "base.digest")} <= {
        *labels
    }
    script = (
        "id -un; stat -c %u:%a /data /var/lib/keepstep /home/keepstep /tmp; find / -xdev -user 65532 2>/dev/null"
    )
    ran = store.run(image, "/bin/sh", "-c", script, options=("--user", "65532:65532"))
    assert ran.stdout.splitlines()[:5] == ["keepstep", *["65532:755"] * 3, "0:1777"], ran.stderr
    owned = {line for line in ran.stdout.splitlines() if line.startswith("/")}
    assert owned == {"/data", "/var/lib/keepstep", "/home/keepstep"}


def test_python_works_in_the_runtime_stage(store: Images, small: str) -> None:
    """What was taken of the base is enough: names, time zones, TLS, SQLite and every compiled module load."""
    image = store.build("runtime", base=small, target="runtime")
    code = (
        "import ssl, sqlite3, zoneinfo, lzma, bz2, ctypes, hashlib, importlib, pathlib, getpass\n"
        "import socket, sysconfig\n"
        "folder = pathlib.Path(sysconfig.get_paths()['stdlib'], 'lib-dynload')\n"
        "for module in folder.glob('*.so'): importlib.import_module(module.name.split('.')[0])\n"
        "socket.getaddrinfo('localhost', 443); print(getpass.getuser(), sqlite3.sqlite_version_info > (3, 30))"
    )
    ran = store.run(image, "python3", "-c", code, options=("--user", "65532:65532"))
    assert ran.stdout == "keepstep True\n", ran.stderr


def test_nothing_of_a_working_copy_is_built_in(store: Images, small: str) -> None:
    """The build sees what git has of the package and what the Containerfile copies, nothing hidden or beside it."""
    strays = ["src/keepstep/.env", "src/keepstep/hosts/.key", "terraform.tfvars", ".env"]
    for name in (*strays, "src/keepstep/__pycache__/x.py", "deploy/container/notes"):
        (store.context / name).parent.mkdir(exist_ok=True)
        (store.context / name).write_text("S3cr3t")
    tracked = subprocess.run(
        ["git", "ls-files", "src", "localcloud", "deploy/container"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = {name for name in tracked.stdout.split() if (REPOSITORY / name).exists()}
    more = {"requirements.lock", "pyproject.toml", "hatch_build.py", "README.md", "LICENSE"}
    assert store.sees(small) == (wanted | more) - {"deploy/container/Containerfile"}


def test_services_of_aws() -> None:
    """The image keeps botocore's description of every service that keepstep asks by botocore, and of no other."""
    script = (CONTAINERFILE.parent / "install").read_text()
    kept = set(re.findall(r'^services="(.*)"$', script, re.MULTILINE)[0].split())
    source = "".join(path.read_text() for path in (REPOSITORY / "src" / "keepstep").rglob("*.py"))
    asked = set(re.findall(r'(?:AwsCalls|create_client)\(\s*"([a-z0-9-]+)"', source))
    assert asked >= {"sts", "iam", "kms", "secretsmanager", "ssm"}
    assert kept - asked == {"s3", "signin", "sns", "ses", "sso", "sso-oidc"}
    assert asked <= kept


def test_everything_has_wheels_for_arm(tmp_path: Path) -> None:
    """All that the default image installs has a wheel for arm64 in the lock: nothing is compiled in a build."""
    pinned = (REPOSITORY / "requirements.lock").read_text()
    (tmp_path / "all.lock").write_text(pinned)
    extras = re.findall(r"^ARG EXTRAS=(.+)$", CONTAINERFILE.read_text(), re.MULTILINE)[0].split(",")
    words = [
        "pip",
        "compile",
        "--quiet",
        "pyproject.toml",
        *[word for name in extras for word in ("--extra", name)],
    ]
    words += ["--python-platform", "aarch64-manylinux_2_28", "--only-binary", ":all:", "--python-version", "3.12"]
    words += [
        "--constraint",
        str(tmp_path / "all.lock"),
        "--no-header",
        "--output-file",
        str(tmp_path / "arm.lock"),
    ]
    env = {**os.environ, "UV_CACHE_DIR": str(UV_CACHE)}
    ran = subprocess.run([program("uv", "uv"), *words], cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_nothing_runs_as_root() -> None:
    """Every stage that is shipped names a user by number, but Lambda's, for which the platform chooses one."""
    stages = re.split(r"^FROM ", CONTAINERFILE.read_text(), flags=re.MULTILINE)[1:]
    shipped = {stage.split(" AS ")[1].split()[0]: stage for stage in stages if "\nENTRYPOINT" in stage}
    users = {name: re.findall(r"^USER (\S+)", stage, re.MULTILINE) for name, stage in shipped.items()}
    assert users == {"keepstep": ["65532:65532"], "function": ["1000:1000"], "lambda": []}

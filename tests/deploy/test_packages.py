"""Wheel and sdist: what is in them, and that they install and run where nothing else of ours is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from keepstep import __version__
from tests.deploy.images import REPOSITORY, UV_CACHE
from tests.servers import program

pytestmark = pytest.mark.long

_LEFT_OUT = {"bench", "tests", "tools", ".ci", "localcloud"}


def uv(*words: str, cwd: Path = REPOSITORY) -> None:
    env = {**os.environ, "UV_CACHE_DIR": str(UV_CACHE), "SOURCE_DATE_EPOCH": "1700000000"}
    ran = subprocess.run(
        [program("uv", "uv"), *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--sdist", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(folder))
    (sdist,) = folder.glob("*.tar.gz")
    uv("build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, str(sdist))
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def tracked(folder: str) -> set[str]:
    ran = subprocess.run(["git", "ls-files", folder], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return {name for name in ran.stdout.splitlines() if (REPOSITORY / name).exists()}


def test_the_sdist_has_the_source_and_no_workshop(built: tuple[Path, Path]) -> None:
    """Everything that is needed to build and read, nothing of the tests, the bench or somebody's machine."""
    with tarfile.open(built[0]) as tar:
        members = tar.getmembers()
    names = {member.name.partition("/")[2] for member in members if member.isfile()}
    assert tracked("src") | tracked("deploy") | tracked("docs") <= names
    assert {"README.md", "LICENSE", "SECURITY.md", "pyproject.toml", "hatch_build.py", "requirements.lock"} <= names
    assert {name for name in names if name.split("/")[0] in _LEFT_OUT or name.endswith(".pyc")} == set()
    assert {(member.uid, member.uname) for member in members} <= {(0, ""), (0, "root")}


def test_the_wheel_has_the_package_alone(built: tuple[Path, Path]) -> None:
    """One package, typed, with its licence; what git has is in it."""
    with zipfile.ZipFile(built[1]) as packed:
        names = set(packed.namelist())
    assert {name.split("/")[0].split("-")[0] for name in names} == {"keepstep"}
    assert {name.removeprefix("src/") for name in tracked("src")} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert "keepstep/py.typed" in names


def test_what_lies_in_a_working_copy_is_not_shipped(tmp_path: Path) -> None:
    """A wheel takes the package's files by type: no settings, keys or notes that somebody left in the folder."""
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    shutil.copytree(REPOSITORY / "src", tmp_path / "src")
    for name in (".env", "secrets.toml", "hosts/key.pem", "dashboard/templates/.x.html", "notes.txt"):
        (tmp_path / "src" / "keepstep" / name).write_text("S3cr3t")
    uv("build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
    assert names == {name.removeprefix("src/") for name in tracked("src")}


DEMO = re.compile(r"^Requires-Dist: (keepstep-localcloud.*); extra == 'demo'$", re.MULTILINE)


def required(wheel: Path) -> list[str]:
    """How the extra ``demo`` of a wheel names localcloud."""
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        return DEMO.findall(packed.read(name).decode())


def test_a_release_requires_a_release(built: tuple[Path, Path]) -> None:
    """Sdist and wheel name localcloud by its version, and no folder of the machine that built them."""
    with tarfile.open(built[0]) as tar:
        (name,) = (name for name in tar.getnames() if name.endswith("/PKG-INFO"))
        about = tar.extractfile(name)
        assert about
        text = about.read().decode()
    assert DEMO.findall(text) == required(built[1]) == [f"keepstep-localcloud=={__version__}"]
    assert "file://" not in text


@pytest.fixture(scope="module")
def working_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone has."""
    folder = tmp_path_factory.mktemp("clone")
    for name in tracked("."):
        if not name.startswith(("tests", "bench", "docs")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    return folder


@pytest.mark.parametrize("editable", [[], ["--editable"]], ids=["copied", "editable"])
@pytest.mark.parametrize("extra", ["demo", "all"])
def test_pip_finds_localcloud_in_a_working_copy(working_copy: Path, extra: str, editable: list[str]) -> None:
    """``pip install '.[demo]'`` in a clone takes localcloud from the clone, from no index."""
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    words += ["--no-build-isolation", "--dry-run", "--report", "-", *editable, f".[{extra}]"]
    ran = subprocess.run(words, cwd=working_copy, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    found = {each["metadata"]["name"]: each["download_info"]["url"] for each in json.loads(ran.stdout)["install"]}
    assert found == {
        "keepstep": working_copy.as_uri(),
        "keepstep-localcloud": (working_copy / "localcloud").as_uri(),
    }


def test_uv_finds_localcloud_in_a_working_copy(working_copy: Path) -> None:
    """uv, which reads pyproject.toml itself, resolves the same: the folder, and what the folder requires."""
    shutil.copy(working_copy / "requirements.lock", working_copy / "demo.lock")
    uv("pip", "compile", "--quiet", "pyproject.toml", "--extra", "demo", "-o", "demo.lock", cwd=working_copy)
    found = (working_copy / "demo.lock").read_text()
    assert re.search(r"^-e \S*localcloud$", found, re.MULTILINE) and re.search(r"^moto==", found, re.MULTILINE)


def test_without_the_folder_the_other_extras_install(working_copy: Path, tmp_path: Path) -> None:
    """The image builds without localcloud: what it resolves needs neither the folder nor a build back end."""
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "requirements.lock"):
        shutil.copy(working_copy / name, tmp_path / name)
    uv("pip", "compile", "--quiet", "pyproject.toml", "--extra", "aws", "-o", "requirements.lock", cwd=tmp_path)
    assert "localcloud" not in (tmp_path / "requirements.lock").read_text()


def test_localclouds_own_packages(tmp_path: Path) -> None:
    """Its wheel is built from its sdist; both have the whole package and its licence; the plugin is declared."""
    words = ["--quiet", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(tmp_path)]
    uv("build", *words, cwd=REPOSITORY / "localcloud")
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    wanted = {name.removeprefix("localcloud/") for name in tracked("localcloud")}
    with tarfile.open(sdist) as tar:
        assert wanted <= {name.partition("/")[2] for name in tar.getnames()}
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        (declared,) = (name for name in names if name.endswith("/entry_points.txt"))
        assert "[pytest11]\nkeepstep_localcloud = " in packed.read(declared).decode()
    assert {name.removeprefix("src/") for name in wanted if name.startswith("src/")} <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"keepstep_localcloud"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_building_again_gives_the_same_bytes(built: tuple[Path, Path], tmp_path: Path) -> None:
    """With SOURCE_DATE_EPOCH a wheel built from the same sdist is the same, byte for byte."""
    words = ["--no-build-isolation", "--python", sys.executable, "--out-dir", str(tmp_path)]
    uv("build", "--quiet", "--wheel", *words, str(built[0]))
    assert (tmp_path / built[1].name).read_bytes() == built[1].read_bytes()


def test_it_runs_from_a_clean_environment(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Installed with what the lock has, without the checkout: the commands run, and a folder is synced."""
    lock = tmp_path / "lock"
    lock.write_text((REPOSITORY / "requirements.lock").read_text())
    more = ["--extra", "aws", "--extra", "oci", "--generate-hashes", "--no-header", "--no-annotate"]
    uv("pip", "compile", "--quiet", "pyproject.toml", *more, "--python", sys.executable, "--output-file", str(lock))
    clean = tmp_path / "clean"
    uv("venv", "--quiet", "--python", sys.executable, str(clean))
    install = ["pip", "install", "--quiet", "--python", str(clean / "bin" / "python")]
    uv(*install, "--require-hashes", "--requirement", str(lock))
    uv(*install, "--no-deps", str(built[1]))
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "a").write_text("1")
    for words in (["keepstep", "--version"], ["oci-secretsync", "--help"], ["keepstep", "config", "schema"]):
        assert run(clean, tmp_path, *words).stdout
    run(clean, tmp_path, "keepstep", "sync", str(source), str(target))
    assert (target / "a").read_text() == "1"
    where = run(clean, tmp_path, "python", "-c", "import keepstep; print(keepstep.__path__[0])").stdout
    assert where.startswith(str(clean))


def run(clean: Path, folder: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the environment, with nothing of this one."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    ran = subprocess.run(
        [str(clean / "bin" / name), *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return ran

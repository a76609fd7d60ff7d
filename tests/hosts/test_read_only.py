"""Where nothing can be written: a read-only root, and a folder for temporary files that is another user's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import absent, program

_SCRIPT = """
set -e
folder=$1; mode=$2; shift 2
mount --make-rprivate /
mount -t tmpfs -o "$mode" none "$folder"
awk '$3 !~ /^(proc|sysfs|devpts|mqueue|cgroup2?)$/ && $2 != "'"$folder"'" {print $2}' /proc/self/mounts |
  while read -r place; do mount -o remount,bind,ro "$place" 2>/dev/null || true; done
exec setpriv --bounding-set=-all --inh-caps=-all -- "$@"
"""
"""A mount namespace of its own: nobody else's files are touched. Root without root's rights is any user."""
_TOML = """
[job.copy]
kind = "sync"
source = "{folder}/in"
target = "{folder}/out"
[job.told]
kind = "secrets"
map = "{folder}/map.csv"
"""
_MODES = {"read-only": "ro,mode=755", "of another user": "mode=555"}


class Machine:
    """A folder with a configuration; HOME and TMPDIR cannot be written, nor can anything else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "empty"
        (folder / "in").mkdir()
        (folder / "in" / "a").write_text("1")
        (folder / "map.csv").write_text("aws-sm:x,/run/secrets/x,0600,,\n")
        (folder / "keepstep.toml").write_text(_TOML.format(folder=folder))
        self.home.mkdir()

    def run(self, *words: str, mode: str, **variables: str) -> subprocess.CompletedProcess[str]:
        if os.geteuid():
            absent("mount namespaces", "the tests run as root")
        home = self.home
        places = {"HOME": str(home), "TMPDIR": str(home), "XDG_STATE_HOME": "", "XDG_CACHE_HOME": ""}
        unshare = [program("unshare", "unshare (util-linux)"), "--mount", "sh", "-c", _SCRIPT, "sh"]
        ran = subprocess.run(
            [*unshare, str(home), _MODES[mode], sys.executable, "-P", "-m", *words],
            env={**os.environ, **places, **variables},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if ran.stderr.startswith(("unshare: ", "mount: ")):
            absent("mount namespaces", ran.stderr)
        return ran


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


_SYNC = {"SYNC_FROM": "{folder}/in", "SYNC_TO": "{folder}/out"}
_CASES = {
    "a container that syncs once": (["keepstep.hosts.container"], _SYNC | {"SYNC_MODE": "STARTUP"}),
    "a container on a schedule": (["keepstep.hosts.container"], _SYNC),
    "a container with a file": (["keepstep.hosts.container"], {"KEEPSTEP_CONFIG": "{folder}/keepstep.toml"}),
    "the daemon": (["keepstep", "--config", "{folder}/keepstep.toml", "run"], {}),
    "the demo": (["keepstep", "demo"], {}),
    "the local clouds": (["keepstep", "localcloud", "--dir", "{folder}/clouds"], {}),
}


@pytest.mark.parametrize("mode", list(_MODES))
@pytest.mark.parametrize("case", list(_CASES))
def test_a_missing_writable_folder_is_named(case: str, mode: str, machine: Machine) -> None:
    """The command says what it cannot write, and what to do; there is no traceback, and exit code 5."""
    words, variables = _CASES[case]
    filled = {name: text.format(folder=machine.folder) for name, text in variables.items()}
    ran = machine.run(*(word.format(folder=machine.folder) for word in words), mode=mode, **filled)
    assert "Traceback" not in ran.stderr
    assert ran.stderr.startswith("error: "), ran.stderr
    assert "\nhint: " in ran.stderr
    assert ran.returncode == 5


@pytest.mark.parametrize("mode", list(_MODES))
def test_a_target_that_cannot_be_written_is_a_failed_object(mode: str, machine: Machine) -> None:
    """A job without a writable state still runs; what it cannot write is named, with a hint."""
    ran = machine.run("keepstep", "--config", f"{machine.folder}/keepstep.toml", "sync", "copy", mode=mode)
    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
    assert f"{machine.folder}/out" in ran.stderr
    assert "hint: " in ran.stderr
    assert not (machine.folder / "out").exists()

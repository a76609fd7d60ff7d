"""``config check`` refuses everything that ``run`` would refuse, and names what it would ignore."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.inprocess import keepstep

SYNC = '[job.j]\nkind = "sync"\nsource = "/in"\ntarget = "/out"\n'
ROTATE = (
    '[job.db]\nkind = "rotate"\naws_secret = "aws-sm:a"\noci_secret = "ocid1.vaultsecret.oc1..a"\n'
    '[[job.db.database]]\nengine = "postgres"\nhost = "h"\nname = "n"\n'
)

REFUSED = {
    "a mistyped alert scheme": ('[alerts]\nurls = ["slak://a/b/c"]\n' + SYNC, "alerts.urls.0"),
    "two channels of one name": (
        '[alerts]\nurls = [{ name = "a", url = "json://h" }, { name = "a", url = "json://i" }]\n' + SYNC,
        "two channels are named",
    ),
    "a listen address without a host": ('[dashboard]\nlisten = ":8731"\n' + SYNC, "dashboard.listen"),
    "a listen address without a port": ('[dashboard]\nlisten = "127.0.0.1"\n' + SYNC, "dashboard.listen"),
    "a port that is none": ('[dashboard]\nlisten = "127.0.0.1:99999"\n' + SYNC, "dashboard.listen"),
    "a state of no known kind": ('[state]\nurl = "redis://h"\n' + SYNC, "state.url"),
    "a state with an unknown option": ('[state]\nurl = "postgresql://h/d?nonsense=1"\n' + SYNC, "state.url"),
    "a source that is no address": (SYNC.replace('"/in"', '"gs://b/"'), "job.j.source"),
    "a target without a bucket": (SYNC.replace('"/out"', '"s3:///x"'), "job.j.target"),
    "params that are none": (SYNC + 'params = "--nonsense"\n', "job.j.params"),
    "a trash that is no address": (SYNC + 'params = "--trash gs://x"\n', "job.j"),
    "params that contradict each other": (SYNC + 'params = "--size-only --compare checksum"\n', "job.j.params"),
    "params without an end": (SYNC + 'params = "--exclude \'x"\n', "job.j.params"),
    "a mode that is none": (SYNC + 'params = "--chmod rwx"\n', "job.j.params"),
    "a mode for a cloud": (SYNC.replace('"/out"', '"s3://b/"') + 'params = "--chmod 644"\n', "job.j.params"),
    "one place as both sides": (SYNC.replace('"/out"', '"/in/"'), "same place"),
    "a trash within the target": (SYNC + 'params = "--trash /out/trash"\n', "job.j.params"),
    "a fingerprint key that is none": (
        '[job.s]\nkind = "secrets"\nfingerprint_key = "gs://x"\n[[job.s.file]]\npath = "/x"\nsecret = "aws-sm:a"\n',
        "job.s.fingerprint_key",
    ),
    "an administrator who is none": (ROTATE + 'admin = "ocid1.instance.oc1..a"\n', "admin"),
    "an audit key that is none": (
        ROTATE.replace("[[", 'audit = { log = "s3://b/a/", key = "gs://x" }\n[[', 1),
        "audit.key",
    ),
    "a map that is not there": ('[job.s]\nkind = "secrets"\nmap = "/none/map.csv"\n', "job.s"),
    "secrets without any": ('[job.s]\nkind = "secrets"\n', "job.s names no secret"),
    "a rotation without a database": (ROTATE.partition("[[")[0], "job.db"),
    "a rotation of a secret that is none": (ROTATE.replace("ocid1.vaultsecret.oc1..a", "arn:aws:s3:::b"), "job.db"),
    "a duration of centuries": (SYNC + 'deadline = "99999999w"\n', "job.j.deadline"),
    "a negative duration": (SYNC + "deadline = -5\n", "job.j.deadline"),
    "a size beyond every machine": (SYNC + 'memory = "9999999999999GiB"\n', "job.j.memory"),
    "a day that never comes": (SYNC + 'schedule = "0 0 31 2 *"\n', "job.j.schedule"),
    "a name that cannot be seen": (SYNC.replace("[job.j]", '[job."a\\u202eb"]'), "a job's name"),
    "tables nested without end": ("x = " + "[" * 5000 + "\n", "nested too deeply"),
    "a number of thousands of digits": (f"[daemon]\nmax_runs = {'9' * 5000}\n", "too long"),
}
IGNORED = {
    "jitter without times": (SYNC + 'jitter = "5m"\n', "job.j.jitter has no effect"),
    "missed without times": (SYNC + 'missed = "skip"\n', "job.j.missed has no effect"),
    "a time zone of @every": (SYNC + 'schedule = "@every 5m"\ntimezone = "Europe/Berlin"\n', "job.j.timezone"),
    "startup of @reboot": (SYNC + 'schedule = "@reboot"\nstartup = true\n', "job.j.startup has no effect"),
    "a jitter that is longer than the pause": (SYNC + 'schedule = "* * * * *"\njitter = "5m"\n', "job.j.jitter"),
}


def check(folder: Path, text: str) -> tuple[int, str]:
    path = folder / "keepstep.toml"
    state = "" if "[state]" in text else f'[state]\nurl = "sqlite:///{folder}/state.db"\n'
    path.write_text(text if text.startswith("x =") else state + text)
    ran = keepstep("--config", str(path), "config", "check")
    assert "Traceback" not in ran.err
    assert {each.name for each in folder.iterdir()} <= {"keepstep.toml", "home"}
    return ran.code, ran.err


@pytest.mark.parametrize("case", REFUSED)
def test_what_run_would_refuse_is_refused(tmp_path: Path, case: str) -> None:
    """With exit code 5, the key, and without anything being made."""
    text, key = REFUSED[case]
    code, said = check(tmp_path, text)
    assert code == 5 and key in said


@pytest.mark.parametrize("case", IGNORED)
def test_what_run_would_ignore_is_named(tmp_path: Path, case: str) -> None:
    """With a warning and exit code 2."""
    text, key = IGNORED[case]
    code, said = check(tmp_path, text)
    assert code == 2 and key in said


@pytest.mark.parametrize(
    "text", [SYNC, ROTATE, '[alerts]\nurls = ["json://h", { name = "b", url = "slack://a/b/c" }]\n']
)
def test_what_is_right_is_right(tmp_path: Path, text: str) -> None:
    """No warning, exit code 0."""
    assert check(tmp_path, text)[0] == 0

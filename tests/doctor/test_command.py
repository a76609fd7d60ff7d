"""The command: what it looks at, how it ends, what it prints."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading
from pathlib import Path

import pytest

from keepstep.cli.running import run
from keepstep.config import Config, load
from keepstep.doctor import exposure
from keepstep.doctor.catalogue import CHECKS, TROUBLES
from keepstep.doctor.check import Check, Verdict, ok
from keepstep.doctor.checks import examined
from keepstep.doctor.probe import Probe, examine
from keepstep.errors import ConfigError, NotFound
from keepstep.jobs.resolve import resolve
from keepstep.jobs.settings import CloudSettings
from tests.cli.inprocess import keepstep
from tests.doctor.worlds import configure, doctor

DOCS = Path(__file__).parents[2] / "docs/doctor.md"
COPY = '[job.copy]\nkind = "sync"\nsource = "{0}/in"\ntarget = "{0}/out"\n'


def test_a_wrong_file_is_named_and_nothing_else_is_done(tmp_path: Path) -> None:
    """A mistake in keepstep.toml ends with 5 and is named."""
    config = configure(tmp_path, '[job.copy]\nkind = "sync"\nsauce = "/a"\ntarget = "/b"\n')
    report = doctor(config)
    assert report.code == 5 and "did you mean source" in report.err and not report.checks


def test_a_job_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Ends with 5, and names the jobs that there are."""
    report = doctor(configure(tmp_path, COPY.format(tmp_path)), "cop")
    assert report.code == 5 and "did you mean copy" in report.err


def test_nothing_to_look_at_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file, a variable or a map it ends with 5 and says what could be given."""
    monkeypatch.chdir(tmp_path)
    report = doctor(None)
    assert report.code == 5 and "SYNC_FROM" in report.err


def test_people_read_lines(tmp_path: Path) -> None:
    """A line for each check, the fix beneath a failure, and the sum; --quiet leaves the failures."""
    config = configure(tmp_path, COPY.format(tmp_path))
    ran = keepstep("--config", str(config), "doctor")
    assert ran.code == 1
    assert f"FAIL  source-list  copy: {tmp_path}/in: this folder does not exist" in ran.out
    assert f"      fix: mkdir -p {tmp_path}/in" in ran.out
    assert ran.out.splitlines()[-1].startswith("6 ok, 1 fail, 0 unknown")
    quiet = keepstep("--config", str(config), "--quiet", "doctor")
    assert len(quiet.out.splitlines()) == 2 and quiet.code == 1


def test_the_state_is_looked_at_and_not_made(tmp_path: Path) -> None:
    """A folder that others can write fails; the state is not made by looking."""
    (tmp_path / "in").mkdir()
    config = configure(tmp_path, COPY.format(tmp_path))
    assert doctor(config).code == 0
    assert list((tmp_path / "state").iterdir()) == []
    (tmp_path / "state").chmod(0o777)
    report = doctor(config)
    assert report.failed == {"state"} and "chmod go-w" in report.of("state")["fix"]


def test_a_damaged_state_is_found(tmp_path: Path) -> None:
    """A state file that is none fails, with what to do."""
    (tmp_path / "in").mkdir()
    config = configure(tmp_path, COPY.format(tmp_path))
    (tmp_path / "state/state.db").write_bytes(b"no database" * 100)
    report = doctor(config)
    assert "state" in report.failed and "move" in report.of("state")["fix"]


def test_runs_that_failed_are_remembered(tmp_path: Path) -> None:
    """After a run that failed the history fails, with what it said; after one that succeeded it is ok."""
    config = configure(tmp_path, COPY.format(tmp_path))
    assert keepstep("--config", str(config), "sync", "copy").code != 0
    report = doctor(config)
    assert "history" in report.failed and "keepstep status copy" in report.of("history")["fix"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_text("1")
    assert keepstep("--config", str(config), "sync", "copy").code == 0
    assert doctor(config).failed == set()


def test_a_schedule_without_a_daemon_is_unknown(tmp_path: Path) -> None:
    """When a job is due is said; whether anybody starts it then cannot be known without a daemon that answers."""
    (tmp_path / "in").mkdir()
    report = doctor(configure(tmp_path, COPY.format(tmp_path) + 'schedule = "@hourly"\n'))
    assert report.code == 0 and report.verdict("schedule") == "unknown"
    assert "keepstep.service" in report.of("schedule")["fix"]


def test_every_entry_of_the_troubleshooting_tables_has_its_check() -> None:
    """Each entry of the replaced tools' tables names a check that exists, and the documentation has both."""
    text = DOCS.read_text()
    for tool, entries in TROUBLES.items():
        for entry, name in entries.items():
            assert name in CHECKS, entry
            assert f"| {tool} | {entry} | `{name}` |" in text
    assert [len(TROUBLES[tool]) for tool in ("oci-rclone-sync", "oci-secretsync")] == [4, 4]


def test_every_check_is_documented() -> None:
    """The documentation's table is the catalogue."""
    text = DOCS.read_text()
    for name, meaning in CHECKS.items():
        assert f"| `{name}` | {meaning} |" in text


@pytest.mark.parametrize("params", ["--nonsense", "--exclude 'x", "--help", "--config x", "--chmod rwx"])
def test_params_that_make_no_sense_are_one_finding(tmp_path: Path, params: str) -> None:
    """What a run would refuse of a job's params is named by its key, and the other jobs are looked at."""
    (tmp_path / "in").mkdir()
    bad = f'[job.bad]\nkind = "sync"\nsource = "{tmp_path}/a"\ntarget = "{tmp_path}/b"\nparams = "{params}"\n'
    report = doctor(configure(tmp_path, bad + COPY.format(tmp_path)))
    assert report.code == 1, report.err
    assert report.of("job")["about"] == "bad" and "job.bad.params" in report.of("job")["text"]
    assert report.verdict("source-list") == "ok"


def test_a_fingerprint_key_that_is_none_is_one_finding(tmp_path: Path) -> None:
    """It is named by its key, and the other jobs are looked at."""
    (tmp_path / "in").mkdir()
    bad = '[job.bad]\nkind = "secrets"\nfingerprint_key = "gs://x"\n'
    report = doctor(configure(tmp_path, bad + COPY.format(tmp_path)))
    assert report.of("job")["about"] == "bad" and "job.bad.fingerprint_key" in report.of("job")["text"]
    assert report.verdict("source-list") == "ok"


def test_params_of_the_container_are_named_as_its_users_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file the variables are looked at, and what is wrong with them is said of the variable."""
    monkeypatch.chdir(tmp_path)
    report = doctor(
        None, env={"SYNC_FROM": str(tmp_path), "SYNC_TO": f"{tmp_path}/out", "SYNC_PARAMS": "--nonsense"}
    )
    assert report.code == 5 and "SYNC_PARAMS: no such option" in report.err


def test_a_timeout_of_the_params_is_the_doctor_s_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing is asked again after ``--cli-read-timeout``, as by the run itself."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = silent.accept()
                    asked.append(connection.recv(4096).split(b"\r\n")[0])
                    kept.append(connection)

        kept: list[socket.socket] = []
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
            monkeypatch.setenv(name, value)
        job = COPY.format(tmp_path).replace(f"{tmp_path}/out", "s3://bucket/out/")
        params = f"--endpoint-url {url} --region eu-west-1 --cli-read-timeout 1"
        config = load(configure(tmp_path, f'{job}params = "{params}"\n'))
        found = resolve(config, "copy")
        run(examined(config, [found], found.settings, is_recorded=False, deadline=6))
        for connection in kept:
            connection.close()
    assert sum(b"list-type=2" in line for line in asked) > 1, asked


def test_the_daemon_is_asked_without_a_proxy(tmp_path: Path) -> None:
    """A proxy of the environment is never between a machine and itself."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy, socket.create_server(("127.0.0.1", 0)) as daemon:

        def serve(line: socket.socket, name: str) -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = line.accept()
                    asked.append(name)
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
                    connection.close()

        for line, name in ((proxy, "proxy"), (daemon, "daemon")):
            threading.Thread(target=serve, args=(line, name), daemon=True).start()
        (tmp_path / "in").mkdir()
        config = configure(tmp_path, COPY.format(tmp_path) + 'schedule = "@hourly"\n')
        port = daemon.getsockname()[1]
        config.write_text(config.read_text().replace("127.0.0.1:1", f"127.0.0.1:{port}"))
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        report = doctor(config, env={"HTTP_PROXY": url, "http_proxy": url, "ALL_PROXY": url})
    assert "a daemon is running" in report.of("schedule")["text"]
    assert asked == ["daemon"]


def test_a_job_that_makes_no_sense_is_one_finding(tmp_path: Path) -> None:
    """The others are looked at all the same."""
    (tmp_path / "in").mkdir()
    bad = '[job.bad]\nkind = "secrets"\nmap = "/none/map.csv"\n'
    bad += '[job.worse]\nkind = "sync"\nsource = "gs://x"\ntarget = "/x"\n'
    report = doctor(configure(tmp_path, COPY.format(tmp_path) + bad))
    assert {check["about"] for check in report.checks if check["name"] == "job"} == {"bad", "worse"}
    assert report.verdict("source-list") == "ok"


def probes_that(*answers: Check | Exception, after: str = "") -> list[Probe]:
    async def give(answer: Check | Exception) -> Check:
        if isinstance(answer, Exception):
            raise answer
        return answer

    names = ["target-list", "target-write", "target-delete"]
    return [
        Probe(name, "b", functools.partial(give, answer), after=after if number else "")
        for number, (name, answer) in enumerate(zip(names, answers, strict=False))
    ]


def test_a_probe_that_breaks_is_one_finding() -> None:
    """With the kind of its exception and without its words, which may be anybody's."""
    checks = asyncio.run(examine(probes_that(KeyError("s3cr3t"), ok("target-write", "b", "fine"))))
    assert [check.verdict for check in checks] == [Verdict.UNKNOWN, Verdict.OK]
    assert "KeyError" in checks[0].text and "s3cr3t" not in str(checks)


def test_what_depends_on_a_failure_is_not_tried() -> None:
    """A bucket that is missing is said once."""
    answers = (NotFound("there is no bucket b"), ok("target-write", "b", "fine"))
    checks = asyncio.run(examine(probes_that(*answers, after="target-list")))
    assert [check.verdict for check in checks] == [Verdict.FAIL, Verdict.UNKNOWN]
    assert checks[1].text == "not tried: target-list failed"


def test_one_cause_is_one_failure() -> None:
    """A driver that is missing for three checks fails one of them."""
    error = ConfigError("this needs the library psycopg, which is not installed", hint="pip install it")
    checks = asyncio.run(examine(probes_that(error, error, error)))
    assert [check.verdict for check in checks] == [Verdict.FAIL, Verdict.UNKNOWN, Verdict.UNKNOWN]


def test_files_that_others_can_read_are_warned_of(tmp_path: Path) -> None:
    """A configuration with a password in it: by doctor, and once by a run; not when it is private."""
    (tmp_path / "in").mkdir()
    text = '[alerts]\nurls = ["json://u:pa55@127.0.0.1:1/"]\n' + COPY.format(tmp_path)
    config = configure(tmp_path, text)
    config.chmod(0o644)
    report = doctor(config)
    assert report.verdict("exposed", "keepstep.toml") == "warn"
    assert report.of("exposed", "keepstep.toml")["fix"] == f"chmod 600 {config}"
    ran = keepstep("--config", str(config), "sync", "copy")
    assert ran.err.count("chmod 600") == 1 and ran.code == 0
    config.chmod(0o600)
    assert doctor(config).verdict("exposed", "keepstep.toml") == "ok"
    assert "chmod" not in keepstep("--config", str(config), "sync", "copy").err


def test_an_oci_key_that_others_can_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It, and the configuration that names it; unless the user told the OCI CLI to say nothing of it."""
    config, key = tmp_path / "oci_config", tmp_path / "key.pem"
    config.write_text(f"[DEFAULT]\nuser = ocid1.user.oc1..a\nkey_file = {key}\n")
    key.write_text("no key")
    settings = [CloudSettings(oci_config_file=str(config))]

    def found() -> dict[str, Verdict]:
        return {check.about: check.verdict for check in asyncio.run(examine(exposure.probes(Config(), settings)))}

    for path in (config, key):
        path.chmod(0o644)
    assert found()[str(key)] == found()[str(config)] == Verdict.WARN
    assert f"chmod 600 {config}" in caplog.text
    for path in (config, key):
        path.chmod(0o600)
    assert set(found().values()) == {Verdict.OK}

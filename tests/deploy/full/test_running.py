"""The image with everything in it, as people run it: a drop-in on a schedule, secrets with an engine's socket."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keepstep_localcloud.server import LocalCloud
from tests.deploy.images import Images
from tests.deploy.waiting import until
from tests.servers import Aws, program, running, wait_until


@pytest.fixture
def started(store: Images) -> Iterator[Callable[..., str]]:
    """``started(image, options…, **variables)`` is the name of a container that ends with the test."""
    names: list[str] = []

    def start(image: str, *options: str, **variables: str) -> str:
        names.append(f"c-{uuid.uuid4().hex[:8]}")
        given = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        store.podman("run", "-d", "--read-only", "--name", names[-1], *given, *options, image)
        return names[-1]

    yield start
    for name in names:
        store.podman("rm", "--force", "--time", "0", name, check=False)


def test_periodic_sync(
    store: Images, image: str, seaweed: Aws, started: Callable[..., str], tmp_path: Path
) -> None:
    """The drop-in for periodic-s3-sync: at the start and then on schedule; healthy; SIGTERM ends it with 0."""
    bucket = f"image-{uuid.uuid4().hex[:10]}"
    client = seaweed.client("s3")
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="in/a", Body=b"1")
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    places = {"SYNC_FROM": f"s3://{bucket}/in/", "SYNC_TO": "/data", "CRON_SCHEDULE": "@every 2s"}
    name = started(image, "--cap-drop=all", "--volume", f"{data}:/data", **seaweed.env, **places)

    def logs() -> str:
        said = store.podman("logs", name)
        return said.stdout + said.stderr

    until((data / "a").exists, logs)
    client.put_object(Bucket=bucket, Key="in/b", Body=b"2")
    until((data / "b").exists, logs)
    assert store.podman("healthcheck", "run", name, check=False).returncode == 0
    store.podman("stop", "--time", "60", name)
    assert store.podman("inspect", "--format", "{{.State.ExitCode}}", name).stdout == "0\n"
    assert seaweed.env["AWS_SECRET_ACCESS_KEY"] not in logs()


def test_health_is_the_daemons_own(store: Images, image: str, started: Callable[..., str], tmp_path: Path) -> None:
    """A keepstep.toml makes it the daemon; a daemon that is stopped in its tracks is unhealthy."""
    config = tmp_path / "keepstep.toml"
    config.write_text(
        '[dashboard]\nlisten = "127.0.0.1:8731"\n[job.x]\nkind = "sync"\nsource = "/data"\ntarget = "/tmp/x"\n'
    )
    name = started(image, "--volume", f"{config}:/etc/keepstep/keepstep.toml:ro")
    check = ("healthcheck", "run", name)
    until(lambda: '"started"' in store.podman("logs", name).stderr, lambda: store.podman("logs", name).stderr)
    assert store.podman(*check, check=False).returncode == 0
    first = store.podman("inspect", "--format", "{{.State.Pid}}", name).stdout.strip()
    # process 1 is the init, which only watches over the daemon
    [pid] = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    subprocess.run(["kill", "-STOP", pid], check=True)
    try:
        assert store.podman(*check, check=False).returncode == 1
    finally:
        subprocess.run(["kill", "-CONT", pid], check=True)


def test_secrets_with_the_socket(store: Images, image: str, started: Callable[..., str], tmp_path: Path) -> None:
    """A secret of OCI Vault lands in a folder that another container mounts, and that container is told."""
    log = tmp_path / "service.log"
    address = f"unix://{store.folder}/podman.sock"
    with LocalCloud() as cloud:
        from tests.secrets.hosts import CloudSecrets

        ocid = CloudSecrets(cloud).create("the value")
        run, told, etc = (tmp_path / name for name in ("run", "told", "etc"))
        for folder in (run, told, etc):
            folder.mkdir(mode=0o700)
        script = "trap 'echo HUP >> /told/web' HUP; echo up > /told/web; while :; do sleep 0.1; done"
        shell = ("--entrypoint", "/bin/sh", "--user", "0", "--volume", f"{told}:/told")
        names = store.podman(
            "run", "-d", "--name", "web", *shell, "--volume", f"{run}:/run/secrets:ro", image, "-c", script
        )
        assert names.returncode == 0
        (etc / "map.csv").write_text(f"{ocid},/run/secrets/password,0640,web,HUP\n")
        command = [program("podman", "Podman"), "system", "service", "--time=0", address]
        try:
            with running(command, log=log, env=store.env) as process:
                wait_until((store.folder / "podman.sock").exists, process, timeout=30, log=log)
                until((told / "web").exists, lambda: "web does not run")
                key = Path(cloud.env["OCI_CLI_CONFIG_FILE"]).parent
                options = ["--user", "0", "--cap-drop=all", "--cap-add=chown,fowner,dac_override"]
                options += ["--volume", f"{run}:/run/secrets", "--volume", f"{etc}:/etc/keepstep:ro"]
                options += ["--volume", f"{store.folder}/podman.sock:/run/podman/podman.sock"]
                options += ["--volume", f"{key}:{key}:ro"]
                ran = store.run(image, "secrets", "apply", options=tuple(options), **cloud.env)
                assert ran.returncode == 3, ran.stderr
                assert "Notified container web: SIGHUP" in ran.stdout
                until(lambda: "HUP" in (told / "web").read_text(), lambda: "web was not told")
                assert (run / "password").read_text() == "the value"
                assert "the value" not in ran.stdout + ran.stderr
        finally:
            store.podman("rm", "--force", "--time", "0", "web", check=False)


def test_two_builds_are_one(store: Images, debian: str, aws_image: str) -> None:
    """Built again from nothing, with the same time stamp, the image has the same layers, byte for byte."""
    again = store.build("keepstep-again", base=debian, extras="aws", again=True)
    assert store.inspect(again)["RootFS"] == store.inspect(aws_image)["RootFS"]


def test_size_and_start(
    store: Images, image: str, aws_image: str, debian: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures of docs/deploy/container.md; everything together stays below 250 MB."""
    rows = {}
    for name, tag in (("base", debian), ("aws", aws_image), ("everything", image)):
        took = []
        for _ in range(3):
            began = time.monotonic()
            words = ["/bin/true"] if tag == debian else ["--version"]
            assert store.run(tag, *words).returncode == 0
            took.append(time.monotonic() - began)
        rows[name] = (store.inspect(tag)["Size"] / 1e6, min(took))
    with capsys.disabled():
        print(
            "\n" + json.dumps({name: f"{size:.0f} MB, {seconds:.2f} s" for name, (size, seconds) in rows.items()})
        )
    assert rows["aws"][0] < rows["everything"][0] < 250

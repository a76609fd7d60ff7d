"""Real containers, told by the API that Docker and Podman share."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from keepstep.containers.docker import ContainerEngines
from keepstep.containers.interface import RESTART, Kind, Notice
from keepstep.errors import NotFound, Transient
from tests.containers.podman import Podman


def notify(addresses: list[str], kind: Kind, whom: str, what: str, *files: str) -> list[str]:
    async def work() -> list[str]:
        engines = ContainerEngines(lambda: addresses)
        try:
            return await engines.notify(Notice(kind, whom, what), files)
        finally:
            await engines.close()

    return asyncio.run(work())


def test_a_container_is_signalled_by_name(engine: Podman) -> None:
    """Names and numbers of signals reach the process of the container that has the name, and no other."""
    for name in ("web", "web2"):
        engine.start(name)
    assert notify([engine.socket], Kind.CONTAINER, "web", "SIGHUP") == []
    engine.wait_for("web", "HUP")
    notify([engine.socket], Kind.CONTAINER, "web", "10")
    engine.wait_for("web", "USR1")
    assert engine.heard("web2") == ["up"]


def kills(engine: Podman, container: str) -> int:
    """How many signals the engine itself has sent to a container."""
    filters = ["--filter", "event=kill", "--filter", f"container={container}"]
    return engine.run("events", "--stream=false", *filters).count("container kill")


def test_a_container_that_is_unless_stopped_is_signalled_from_inside(engine: Podman) -> None:
    """The engine is not asked to send the signal, since Docker would take the container for one stopped by hand."""
    before = [kills(engine, name) for name in ("quiet", "loud")]  # Podman's log outlives its containers
    engine.start("quiet", "--restart=unless-stopped")
    assert notify([engine.socket], Kind.CONTAINER, "quiet", "SIGUSR1") == []
    engine.wait_for("quiet", "USR1")
    assert kills(engine, "quiet") == before[0]
    engine.start("loud", "--restart=always")
    assert notify([engine.socket], Kind.CONTAINER, "loud", "SIGUSR1") == []
    engine.wait_for("loud", "USR1")
    assert kills(engine, "loud") == before[1] + 1


@pytest.mark.parametrize("lack", ["no shell", "the host's processes"])
def test_what_cannot_be_signalled_from_inside_is_said(engine: Podman, lack: str) -> None:
    """Without a shell in the image, or with the host's processes in it, the engine signals and a remark says so."""
    engine.start("bare", "--restart=unless-stopped", *(["--pid=host"] if lack != "no shell" else []))
    if lack == "no shell":
        engine.run("exec", "bare", "/bin/busybox", "rm", "/bin/sh")
    [remark] = notify([engine.socket], Kind.CONTAINER, "bare", "SIGUSR1")
    engine.wait_for("bare", "USR1")
    assert "unless-stopped: Docker will not start it after a reboot" in remark


def test_containers_are_signalled_by_label(engine: Podman) -> None:
    """Every running container with the label is notified, by key and by key and value."""
    engine.start("a", "--label", "tier=web")
    engine.start("b", "--label", "tier=web")
    engine.start("c", "--label", "tier=db")
    notify([engine.socket], Kind.LABEL, "tier=web", "SIGHUP")
    for name in ("a", "b"):
        engine.wait_for(name, "HUP")
    notify([engine.socket], Kind.LABEL, "tier", "SIGUSR1")
    engine.wait_for("c", "USR1")
    assert engine.heard("c") == ["up", "USR1"]
    with pytest.raises(NotFound, match="with the label tier=no"):
        notify([engine.socket], Kind.LABEL, "tier=no", "SIGHUP")


def test_a_container_is_restarted(engine: Podman) -> None:
    """``restart`` starts the container again."""
    engine.start("web")
    notify([engine.socket], Kind.CONTAINER, "web", RESTART)
    engine.wait_for("web", "up", times=2)


@pytest.mark.parametrize("what", ["SIGHUP", RESTART])
def test_what_does_not_run_is_not_told(engine: Podman, what: str) -> None:
    """A missing container and one that was stopped are NotFound; a stopped one is not started."""
    with pytest.raises(NotFound, match="no container named web is running") as refusal:
        notify([engine.socket], Kind.CONTAINER, "web", what)
    assert "docker ps" in (refusal.value.hint or "")
    engine.run("create", "--name", "web", "localhost/busybox:tests", "/bin/sh")
    with pytest.raises(NotFound):
        notify([engine.socket], Kind.CONTAINER, "web", what)
    assert engine.run("ps", "-q") == ""


def test_a_file_that_is_mounted_by_itself(engine: Podman, tmp_path: Path) -> None:
    """A container that mounts the single file sees the old one: the remark says so, except at a restart."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    engine.start("web", "-v", f"{secret}:/secret")
    [remark] = notify([engine.socket], Kind.CONTAINER, "web", "SIGHUP", str(secret), str(tmp_path / "other"))
    assert f"web mounts the single file {secret}" in remark
    assert notify([engine.socket], Kind.CONTAINER, "web", RESTART, str(secret)) == []


def test_an_engine_that_is_away(engine: Podman, tmp_path: Path) -> None:
    """Nobody at the socket: the notice is due as long as no other engine has the container."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "dead"))
    dead = f"unix://{tmp_path}/dead"
    with pytest.raises(Transient, match="does not answer"):
        notify([dead], Kind.CONTAINER, "web", "SIGHUP")
    with pytest.raises(Transient, match="no container engine was found"):
        notify([], Kind.CONTAINER, "web", "SIGHUP")
    with pytest.raises(Transient):
        notify([engine.socket, dead], Kind.CONTAINER, "web", "SIGHUP")
    engine.start("web")
    notify([dead, engine.socket], Kind.CONTAINER, "web", "SIGHUP")
    engine.wait_for("web", "HUP")

"""Containers of Docker and Podman, by the API that both speak.

https://docs.docker.com/reference/api/engine/ (ContainerKill, ContainerRestart); ``podman system service`` answers
the same. One socket is one engine; a container is looked for in all of them.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from keepstep.clouds.document import shortened
from keepstep.clouds.http import USER_AGENT
from keepstep.clouds.sdk_guard import guard_requests, too_much
from keepstep.containers.docker_sockets import addresses
from keepstep.containers.interface import RESTART, Kind, Notice
from keepstep.containers.signals import signal_number
from keepstep.errors import ConfigError, Denied, Error, NotFound, Transient

_TLS = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
_TIMEOUT = 60
"""Seconds for one answer; a restart waits for the container to stop, ten seconds if nobody said otherwise."""


class ContainerEngines:
    """Finds running containers by name or label, and signals or restarts them.

    ``find`` gives the addresses of the engines (``unix://…``, ``tcp://…``) when it is needed. Only running
    containers are notified: a container that starts later reads the new file anyway, and one that was stopped is
    not started.
    """

    def __init__(self, find: Callable[[], list[str]] = addresses) -> None:
        self._find = find
        self._clients: dict[str, Any] = {}
        self._connecting = threading.Lock()

    async def notify(self, notice: Notice, files: Collection[str]) -> list[str]:
        return await asyncio.to_thread(self._tell, notice, files)

    async def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _tell(self, notice: Notice, files: Collection[str]) -> list[str]:
        _library()
        found, away = self._running(notice)
        if not found:
            raise away or NotFound(
                f"no container {_description(notice)} is running",
                hint="the name must be one of: docker ps --format '{{.Names}}'",
            )
        remarks = []
        for container in found:
            with _translated(f"the container to notify of {notice}"):
                remarks += _remarks(container, notice, files)
            with _translated(f"container {container.name}"):
                if notice.what == RESTART:
                    container.restart()
                else:
                    remarks += _signal(container, notice.what)
        return remarks

    def _running(self, notice: Notice) -> tuple[list[Any], Error | None]:
        """The containers that are meant, of all engines; and why an engine could not be asked."""
        found: list[Any] = []
        away: Error | None = None
        addresses = self._find()
        if not addresses:
            hint = "start Docker or podman.socket, or name the engine in DOCKER_HOST"
            away = Transient("no container engine was found", hint=hint)
        for address in addresses:
            try:
                with _translated(f"the container engine at {address}"):
                    found += _containers(self._client(address), notice)
            except NotFound:
                continue
            except Error as exc:
                away = exc
        return found, away

    def _client(self, address: str) -> Any:
        with self._connecting:
            if address not in self._clients:
                self._clients[address] = _connected(address)
            return self._clients[address]


def _library() -> Any:
    try:
        from docker import DockerClient
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"this needs the library {exc.name}, which is not installed", hint="pip install 'keepstep[secrets]'"
        ) from exc
    return DockerClient


def _connected(address: str) -> Any:
    import docker
    import requests
    from docker.utils import kwargs_from_env

    guard_requests(requests)
    docker.APIClient.get_redirect_target = lambda api, response: None  # no engine sends anybody elsewhere
    environment = {"DOCKER_HOST": address} | {n: os.environ[n] for n in _TLS if n in os.environ}
    return _library()(timeout=_TIMEOUT, user_agent=USER_AGENT, **kwargs_from_env(environment=environment))


def _containers(client: Any, notice: Notice) -> list[Any]:
    if notice.kind is Kind.LABEL:
        return list(client.containers.list(filters={"label": notice.whom, "status": "running"}))
    container = client.containers.get(notice.whom)
    return [container] if container.status == "running" else []


def _description(notice: Notice) -> str:
    return f"with the label {notice.whom}" if notice.kind is Kind.LABEL else f"named {notice.whom}"


def _remarks(container: Any, notice: Notice, files: Collection[str]) -> list[str]:
    """A file that is bind-mounted by itself stays the old one inside until the container restarts."""
    if notice.what == RESTART:
        return []
    mounted = {mount.get("Source") for mount in container.attrs.get("Mounts") or ()}
    return [
        f"container {container.name} mounts the single file {path}, and sees the old one until it is restarted: "
        "mount the folder instead, or use restart"
        for path in files
        if path in mounted
    ]


def _signal(container: Any, signal: str) -> list[str]:
    """Sends the signal so that the container still comes back after a reboot, or returns a remark that it will not.

    Docker takes a container that was signalled through its API for one that was stopped by hand, even when it runs
    on, and ``unless-stopped`` then keeps it down after the next start of the engine (moby issues 41302 and 47792).
    A signal that a process inside of it sends does not count.
    """
    if not comes_back_only_unsignalled(container):
        container.kill(signal=signal)
        return []
    # No word of the command comes from outside.
    inside = ["sh", "-c", f"kill -{signal_number(signal)} 1"]
    if has_own_processes(container) and container.exec_run(inside).exit_code == 0:
        return []
    container.kill(signal=signal)
    return [
        f"container {container.name} was signalled by the engine, and its restart policy is unless-stopped: Docker "
        "will not start it after a reboot; use the policy always"
    ]


def comes_back_only_unsignalled(container: Any) -> bool:
    """Whether its restart policy is ``unless-stopped``."""
    return (_host_config(container).get("RestartPolicy") or {}).get("Name") == "unless-stopped"


def has_own_processes(container: Any) -> bool:
    """Whether process 1 in it is its own, and not the host's or another container's."""
    return _host_config(container).get("PidMode") in (None, "", "private")


def _host_config(container: Any) -> dict[str, Any]:
    return container.attrs.get("HostConfig") or {}


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Translates the SDK's errors; it speaks through ``requests``."""
    import requests
    from docker.errors import APIError, DockerException
    from docker.errors import NotFound as Missing

    try:
        yield
    except Missing as exc:
        raise NotFound(f"{what} is not there") from exc
    except APIError as exc:
        raise Transient(f"{what}: {shortened(str(exc.explanation or exc))}") from exc
    except (AttributeError, LookupError, RecursionError, TypeError, UnicodeError):
        # what the SDK raises for an answer that is not what the API promises
        raise Transient(f"{what} answers with something else than containers") from None
    except (DockerException, requests.RequestException, OSError) as exc:
        root = _root(exc)
        if isinstance(root, PermissionError):
            raise Denied(f"{what} may not be spoken to", hint="run as root, or as a member of its group") from exc
        why = root.strerror if isinstance(root, OSError) and root.strerror else shortened(str(too_much(exc) or exc))
        raise Transient(f"{what} does not answer: {why}", hint="is it running? see DOCKER_HOST") from exc
    except ValueError:
        raise Transient(f"{what} answers with something else than containers") from None


def _root(exc: BaseException) -> BaseException:
    """What began it; the SDK wraps a socket's error several times, also as an argument."""
    seen: BaseException = exc
    while True:
        inner = seen.__cause__ or seen.__context__
        inner = inner or next((a for a in seen.args if isinstance(a, BaseException)), None)
        if inner is None or isinstance(seen, PermissionError):
            return seen
        seen = inner

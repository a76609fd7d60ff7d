"""Where container engines listen: DOCKER_HOST, or the usual sockets of Docker and Podman."""

from __future__ import annotations

import os
import stat


def addresses() -> list[str]:
    """The sockets of the engines. The variables choose one; without them all that exist, root's and the user's.

    DOCKER_HOST is Docker's and CONTAINER_HOST Podman's ("podman-remote", ``docker context``).
    """
    if chosen := os.environ.get("DOCKER_HOST") or os.environ.get("CONTAINER_HOST"):
        return [chosen]
    return [f"unix://{path}" for path in _usual() if _is_socket(path)]


def _usual() -> list[str]:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return [
        "/var/run/docker.sock",
        "/run/podman/podman.sock",
        f"{runtime}/docker.sock",
        f"{runtime}/podman/podman.sock",
    ]


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False

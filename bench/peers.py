"""How each tool is called, tuned as well as its manual allows."""

from __future__ import annotations

from collections.abc import Sequence

from bench.servers import BIN

AT_ONCE = 64


def keepstep(source: str, target: str, *more: str) -> list[str]:
    return [str(BIN / "keepstep"), "sync", source, target, "--only-show-errors", *more]


def rclone(source: str, target: str, *more: str) -> list[str]:
    """``s3://b/p`` is written ``:s3:b/p`` here; everything comes from the environment."""
    command = [str(BIN / "rclone"), "--config", "/dev/null", "--s3-provider", "SeaweedFS", "--s3-env-auth"]
    command += ["--s3-force-path-style", "--checkers", str(AT_ONCE), "--transfers", str(AT_ONCE), "-q"]
    return [*command, "copy", _for_rclone(source), _for_rclone(target), *more]


def s5cmd(source: str, target: str, *more: str, workers: int | None = None) -> list[str]:
    command = [str(BIN / "s5cmd"), *(["--numworkers", str(workers)] if workers else []), "--log", "error", "sync"]
    pattern = f"{source.rstrip('/')}/*" if source.startswith("s3://") else source.rstrip("/") + "/"
    return [*command, *more, pattern, target.rstrip("/") + "/"]


def aws(source: str, target: str, *more: str) -> list[str]:
    return [str(BIN / "aws"), "s3", "sync", source, target, "--only-show-errors", *more]


def _for_rclone(address: str) -> str:
    return ":s3:" + address.removeprefix("s3://").rstrip("/") if address.startswith("s3://") else address


def with_endpoint(command: Sequence[str], url: str) -> list[str]:
    """rclone wants the endpoint on its command line."""
    return [command[0], "--s3-endpoint", url, *command[1:]]

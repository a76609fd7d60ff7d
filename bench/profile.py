"""``python -m bench.profile``: where keepstep's own CPU goes for 10,000 small objects, up and down.

The profiler makes every call dearer: the shares say where to look, the seconds of the other tables what it costs.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from bench import servers
from bench.rows import small_files

_COUNT = 10_000
_GROUPS = (
    ("HTTP", ("keepstep/clouds/http", "httptools")),
    ("signatures", ("keepstep/clouds/sigv4", "keepstep/clouds/renewing", "keepstep/clouds/aws")),
    ("files", ("keepstep/stores/local", "keepstep/stores/group_commit", "keepstep/clouds/workers", "posixpath")),
    ("S3", ("keepstep/stores/", "keepstep/clouds/")),
    ("planning and moving", ("keepstep/objects", "keepstep/runs")),
    ("starting", ("importlib", "keepstep/cli", "click", "dataclasses", "enum.py", "re/", "typing.py")),
)
"""The first that a file's name matches counts."""


def shares(command: list[str]) -> tuple[dict[str, float], int]:
    """Runs a command of keepstep here; which part each group had of the main thread's CPU, and the calls."""
    from keepstep.cli import main

    profile = cProfile.Profile(time.thread_time)
    with patch.object(sys, "argv", command):
        profile.enable()
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, ended.code
        finally:
            profile.disable()
    spent: defaultdict[str, float] = defaultdict(float)
    stats = pstats.Stats(profile)
    for group, seconds in _by_group(stats):
        spent[group] += seconds
    total = sum(spent.values())
    ordered = sorted(spent, key=spent.__getitem__, reverse=True)
    return {group: spent[group] / total for group in ordered}, stats.total_calls  # type: ignore[attr-defined]


def _by_group(stats: pstats.Stats) -> Iterator[tuple[str, float]]:
    """What a built-in function took is its callers'."""
    for (file, _, _), (_, _, own, _, callers) in stats.stats.items():  # type: ignore[attr-defined]
        if file != "~":
            yield _group(file), own
        for (caller, _, _), (_, _, part, _) in callers.items() if file == "~" else ():
            yield _group(caller), part


def _group(file: str) -> str:
    return next((group for group, names in _GROUPS if any(name in file for name in names)), "event loop and other")


def main() -> None:
    with (
        small_files(_COUNT, 4096) as source,
        servers.seaweedfs() as url,
        patch.dict("os.environ", servers.aws_env(url)),
    ):
        servers.make_buckets(url, "bench")
        target, down = "s3://bench/up", str(Path(source).parent / "down")
        for work, (origin, goal) in {"up": (str(source), target), "down": (target, down)}.items():
            found, calls = shares(["keepstep", "sync", origin, goal, "--only-show-errors"])
            groups = [f"{group} {share:.0%}" for group, share in found.items()]
            print(work, *groups, f"{calls / _COUNT:.0f} calls an object", sep=" | ", flush=True)


if __name__ == "__main__":
    main()

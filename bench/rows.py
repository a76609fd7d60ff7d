"""The work that is measured, a function for each row of the table."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import peers, servers
from bench.measure import Contender, Cost, alternate, median, run


@dataclass
class Row:
    """One piece of work, what it cost each tool, and the bar."""

    work: str
    bar: str
    is_met: bool
    costs: dict[str, Cost]
    """Medians by tool; ``keepstep`` is ours."""
    note: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def best_wall(self) -> float:
        return min(cost.wall for name, cost in self.costs.items() if name != "keepstep")

    @property
    def best_cpu(self) -> float:
        return min(cost.cpu for name, cost in self.costs.items() if name != "keepstep")


Command = Callable[[str], Sequence[str]]
"""A tool's command line, given the target."""


def _in_turn(
    commands: Mapping[str, Command], target: Callable[[], str], env: dict[str, str], runs: int
) -> dict[str, Cost]:
    """Medians by tool. Every run has a target of its own."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(runs):
        # Each round begins with another one: what a server still does for the one before hits all alike.
        for name in [*commands][turn % len(commands) :] + [*commands][: turn % len(commands)]:
            costs[name].append(run(commands[name](target()), env))
    return {name: median(each) for name, each in costs.items()}


def _tools(origin: str, url: str) -> dict[str, Command]:
    return {
        "keepstep": lambda target: peers.keepstep(origin, target),
        "rclone": lambda target: peers.with_endpoint(peers.rclone(origin, target), url),
        "s5cmd": lambda target: peers.s5cmd(origin, target),
    }


def _ratios(costs: dict[str, Cost]) -> tuple[float, float]:
    """Our wall and CPU against the best peer's."""
    row = Row("", "", False, costs)
    ours = costs["keepstep"]
    return ours.wall / row.best_wall, ours.cpu / row.best_cpu


def of_listings(runs: int) -> int:
    """They take minutes, and differ little: a third as many."""
    return max(1, runs // 3)


def _listing(layout: str, count: int, latency: float, runs: int) -> tuple[dict[str, Cost], dict[str, str]]:
    with servers.listing_s3(layout, count, latency) as url:
        env = servers.aws_env(url)
        rclone = peers.with_endpoint(peers.rclone("s3://a", "s3://b", "--size-only"), url)
        contenders = [
            Contender("keepstep", peers.keepstep("s3://a/", "s3://b/")),
            Contender("rclone", rclone),
            Contender("rclone --fast-list", [*rclone, "--fast-list"]),
            Contender("s5cmd", peers.s5cmd("s3://a", "s3://b", "--size-only")),
        ]
        costs = {name: median(each) for name, each in alternate(contenders, env, of_listings(runs)).items()}
        servers.requests_of(url)
        run(contenders[0].command, env)
        return costs, {"requests": str(servers.requests_of(url))}


def noop_flat(runs: int) -> Iterator[Row]:
    costs, extra = _listing("flat", 300_000, 75, runs)
    wall, _ = _ratios(costs)
    yield Row("no-op, 300,000 keys a side, flat, 75 ms a page", "wall <= 0.2x", wall <= 0.2, costs, extra=extra)


def noop_folders(runs: int) -> Iterator[Row]:
    costs, extra = _listing("folders", 300_000, 75, runs)
    wall, _ = _ratios(costs)
    yield Row("the same in 100 folders", "wall <= 1x", wall <= 1, costs, extra=extra)


def noop_cpu(runs: int) -> Iterator[Row]:
    costs, extra = _listing("flat", 300_000, 0, runs)
    per_key = costs["keepstep"].cpu / 600_000 * 1e6
    note = ", ".join(f"{name} {cost.cpu / 600_000 * 1e6:.1f} us" for name, cost in costs.items())
    yield Row("no-op, 0 ms: CPU a key", "<= 10 us", per_key <= 10, costs, note, extra)


def noop_memory(runs: int) -> Iterator[Row]:
    memory = {}
    costs: dict[str, Cost] = {}
    for count in (100_000, 1_000_000):
        with servers.listing_s3("flat", count, 0) as url:
            costs["keepstep"] = run(peers.keepstep("s3://a/", "s3://b/"), servers.aws_env(url))
            memory[count] = costs["keepstep"].memory
    is_met = memory[1_000_000] < 200 * 2**20 and memory[1_000_000] < 1.25 * memory[100_000]
    note = ", ".join(f"{count:,} keys: {size / 2**20:.0f} MiB" for count, size in memory.items())
    yield Row("peak memory, 1,000,000 keys a side", "< 200 MiB, flat", is_met, costs, note)


def noop_disorder(runs: int) -> Iterator[Row]:
    """A store that lists in no order: everything is read by tokens, sorted on disk, and compared."""
    with servers.listing_s3("scattered", 1_000_000, 0) as url:
        cost = run(peers.keepstep("s3://a/", "s3://b/"), servers.aws_env(url))
    note = f"{cost.memory / 2**20:.0f} MiB, {cost.cpu / 2_000_000 * 1e6:.1f} us CPU a key"
    work = "the same out of order: sorted, then compared"
    yield Row(work, "< 200 MiB", cost.memory < 200 * 2**20, {"keepstep": cost}, note)


@contextmanager
def small_files(count: int, size: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        source = Path(folder) / "source"
        source.mkdir()
        for number in range(count):
            (source / f"{number:05}.bin").write_bytes(os.urandom(size))
        yield source


class _Folders(Iterator[str]):
    """A new folder for each run. ext4 is slow to use the inodes of files again that were deleted moments ago."""

    def __init__(self, parent: Path) -> None:
        self._numbers = (parent / f"down-{number}" for number in itertools.count())

    def __next__(self) -> str:
        return str(next(self._numbers))


def small_objects(runs: int) -> Iterator[Row]:
    count, size = 10_000, 4096
    with small_files(count, size) as source, servers.seaweedfs() as url:
        env = servers.aws_env(url)
        numbers = iter(range(10_000))
        servers.make_buckets(url, "bench")

        makers = _tools(str(source), url) | {
            "rclone --s3-no-head": lambda target: peers.with_endpoint(
                peers.rclone(str(source), target, "--s3-no-head"), url
            ),
            "s5cmd, 64 workers": lambda target: peers.s5cmd(str(source), target, workers=64),
        }
        costs = _in_turn(makers, lambda: f"s3://bench/up-{next(numbers)}", env, runs)
        wall, cpu = _ratios(costs)
        is_met = wall <= 0.67 and cpu <= 0.6
        yield Row("upload 10,000 x 4 KiB", "wall <= 0.67x, CPU <= 0.6x", is_met, costs)

        down = _Folders(source.parent)
        origin = "s3://bench/up-0"
        makers = _tools(origin, url) | {
            "s5cmd, 64 workers": lambda target: peers.s5cmd(origin, target, workers=64),
        }
        costs = _in_turn(makers, lambda: next(down), env, runs)
        wall, cpu = _ratios(costs)
        yield Row("download 10,000 x 4 KiB", "wall <= 0.9x, CPU <= 0.9x", wall <= 0.9 and cpu <= 0.9, costs)


def large_object(runs: int) -> Iterator[Row]:
    with small_files(1, 0) as source, servers.seaweedfs() as url:
        with open(source / "large.bin", "wb") as out:
            for _ in range(64):
                out.write(os.urandom(16 * 2**20))
        (source / "00000.bin").unlink()
        env = servers.aws_env(url)
        servers.make_buckets(url, "bench")
        down, copies = _Folders(source.parent), itertools.count()
        targets: dict[str, Callable[[], str]] = {
            "1 GiB up": lambda: f"s3://bench/up-{next(copies)}",
            "1 GiB down": lambda: next(down),
            "1 GiB S3 to S3": lambda: f"s3://bench/copy-{next(copies)}",
        }
        for work, target in targets.items():
            origin = str(source) if work == "1 GiB up" else "s3://bench/up-0"
            costs = _in_turn(_tools(origin, url), target, env, runs)
            wall, _ = _ratios(costs)
            is_met = wall <= 1.05 and costs["keepstep"].memory < 400 * 2**20
            yield Row(work, "wall <= 1.05x, < 400 MiB", is_met, costs)


def over_tls(runs: int) -> Iterator[Row]:
    """Objects of 1 MiB, and large ones: bytes rather than requests, with their checksums and encryption."""
    for work, count, size in (("1,000 x 1 MiB", 1000, 2**20), ("4 x 256 MiB", 4, 2**28)):
        with small_files(count, size) as source, servers.tls_objects(count, size) as (url, certificate):
            env = servers.aws_env(url) | {"AWS_CA_BUNDLE": str(certificate), "PYTHONPATH": str(Path.cwd())}
            down: Iterator[str] = _Folders(source.parent)
            for direction, origin in (("up", str(source)), ("down", "s3://a")):
                if direction == "up" and count < 1000:
                    continue
                makers: dict[str, Command] = {
                    "keepstep": partial(peers.keepstep, origin),
                    "rclone": partial(_rclone_tls, origin, url, str(certificate)),
                    "awscrt, bare": partial(_awscrt, direction, url, str(certificate), str(source), count),
                }
                target = partial(next, itertools.repeat("s3://b") if direction == "up" else down)
                costs = _in_turn(makers, target, env, runs)
                most, bare = _TLS_BARS[direction, count]
                ours = costs["keepstep"]
                is_met = ours.cpu <= most * costs["rclone"].cpu and ours.cpu <= bare * costs["awscrt, bare"].cpu
                bar = f"CPU <= {most}x rclone, {bare}x awscrt"
                yield Row(f"{work} {direction}, https", bar, is_met, costs)


_TLS_BARS = {("up", 1000): (0.4, 1.1), ("down", 1000): (0.5, 1.2), ("down", 4): (1.0, 9)}
"""CPU against rclone's and against bare awscrt's."""


def _rclone_tls(origin: str, url: str, certificate: str, target: str) -> list[str]:
    return peers.with_endpoint([*peers.rclone(origin, target), "--s3-no-head", "--ca-cert", certificate], url)


def _awscrt(direction: str, url: str, certificate: str, source: str, count: int, target: str) -> list[str]:
    folder = source if direction == "up" else target
    return [sys.executable, "-m", "bench.crt_transfer", direction, url, certificate, folder, str(count)]


def between_clouds(runs: int) -> Iterator[Row]:
    from bench.oci import oci_bucket

    for work, count, size in (("2,000 x 16 KiB", 2000, 16384), ("4 x 256 MiB", 4, 256 * 2**20)):
        with oci_bucket(count, size) as cloud, servers.seaweedfs() as url:
            servers.make_buckets(url, "bench")
            env = servers.aws_env(url) | cloud.env
            numbers = itertools.count()
            makers: dict[str, Command] = {
                "keepstep": partial(cloud.keepstep, url=url),
                "rclone": partial(cloud.rclone, url=url),
            }
            costs = _in_turn(makers, lambda each=numbers: f"s3://bench/{next(each)}", env, runs)  # type: ignore[misc]
            wall, cpu = _ratios(costs)
            is_met = wall <= 0.8 and cpu <= 0.8
            yield Row(f"OCI to S3, {work}", "wall <= 0.8x, CPU <= 0.8x", is_met, costs)


ROWS: dict[str, Callable[[int], Iterator[Row]]] = {
    "flat": noop_flat,
    "folders": noop_folders,
    "cpu": noop_cpu,
    "memory": noop_memory,
    "disorder": noop_disorder,
    "small": small_objects,
    "large": large_object,
    "tls": over_tls,
    "clouds": between_clouds,
}

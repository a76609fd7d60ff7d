"""``python -m bench.rotation [--rotations N]``: what a tick costs, and what clients notice of a rotation.

Calls, wall time and CPU of an idle tick and of a full rotation of two stores and two databases, every answer of the
stores 30 ms late. Then clients that log in without pause with what is CURRENT in AWS and in OCI, while the
credential is rotated: by keepstep, and by the procedures that AWS publishes for one user and for alternating users
("Rotation strategies" in the Secrets Manager guide), each with a copy of the secret put into OCI Vault afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from keepstep.rotation.changes import Strategy
from keepstep.rotation.credential import partner
from keepstep_localcloud.server import LocalCloud
from tests.database_servers.certificates import Authority
from tests.database_servers.mariadb import MariadbServer, mariadb
from tests.database_servers.postgres import PostgresServer, postgres
from tests.rotation.fixture import Clouds, Scene, Server
from tests.rotation.test_fire import under_fire
from tests.servers import local_aws

LATENCY_MS = 30
RUNS = 9


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rotation", description=__doc__)
    parser.add_argument("--rotations", type=int, default=20)
    options = parser.parse_args()
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="keepstep-bench-") as folder:
        root = Path(folder)
        root.chmod(0o711)
        for name in ("aws", "postgres", "mariadb"):
            (root / name).mkdir()
        aws = stack.enter_context(local_aws(root / "aws"))
        clouds = Clouds(aws, stack.enter_context(LocalCloud()))
        os.environ.update(clouds.env)
        authority = Authority()
        servers: list[Server] = [
            stack.enter_context(mariadb(root / "mariadb", authority)),
            stack.enter_context(postgres(root / "postgres", authority)),
        ]
        costs(clouds, servers)
        fire(clouds, servers, options.rotations)


def costs(clouds: Clouds, servers: list[Server]) -> None:
    scene = Scene(clouds, servers)
    scene.tick(now=True)
    clouds.aws.fault("*", {"latency_ms": LATENCY_MS}, times=None)
    clouds.cloud.fault("*", times=None, latency_ms=LATENCY_MS)
    print("| tick | calls to the stores | wall | CPU |\n|---|---|---|---|")
    for name, is_forced in (("idle", False), ("full rotation", True)):
        walls, cpus, calls = [], [], {}
        for _ in range(RUNS):
            began, cpu = time.monotonic(), time.process_time()
            report = scene.tick(now=is_forced)
            walls.append(time.monotonic() - began)
            cpus.append(time.process_time() - cpu)
            calls = dict(report.requests)
        counted = f"{sum(calls.values())}: " + ", ".join(f"{count} {call}" for call, count in sorted(calls.items()))
        print(f"| {name} | {counted} | {statistics.median(walls):.2f} s | {statistics.median(cpus):.2f} s |")
    clouds.aws.clear_faults()
    clouds.cloud.clear_faults()


def fire(clouds: Clouds, servers: list[Server], rotations: int) -> None:
    print("\n| procedure | logins | failed | longest time without a login |\n|---|---|---|---|")
    contenders: list[tuple[str, Strategy, Callable[[Scene], None]]] = [
        ("keepstep, alternating users", Strategy.ALTERNATING, tick),
        ("keepstep, single user", Strategy.SINGLE, tick),
        ("AWS's alternating users, then a copy to OCI", Strategy.ALTERNATING, published),
        ("AWS's single user, then a copy to OCI", Strategy.SINGLE, published),
    ]
    for name, strategy, rotate in contenders:
        scene = Scene(clouds, servers, strategy=strategy)
        outcomes, blips = under_fire(scene, rotations, rotate)
        done = outcomes["ok"] + outcomes["failed"]
        print(f"| {name} | {done} | {outcomes['failed']} | {max(blips, default=0.0) * 1000:.0f} ms |", flush=True)


def tick(scene: Scene) -> None:
    assert scene.tick(now=True).exit_code == 0


def published(scene: Scene) -> None:
    """createSecret, setSecret, testSecret, finishSecret; with one store, and all databases of it."""
    sm = scene.clouds.sm
    current = sm.get_secret_value(SecretId=scene.arn)
    payload = json.loads(current["SecretString"])
    if scene.strategy is Strategy.ALTERNATING:
        payload["username"] = partner(payload["username"])
    payload |= {"password": f"Pw1_{secrets.token_hex(12)}", "gen": payload["gen"] + 1}
    text = json.dumps(payload)
    made = sm.put_secret_value(SecretId=scene.arn, SecretString=text, VersionStages=["AWSPENDING"])
    for server in scene.members:
        user, password = payload["username"], payload["password"]
        if isinstance(server, PostgresServer):
            server.execute(f"ALTER ROLE \"{user}\" PASSWORD '{password}'")
        elif isinstance(server, MariadbServer):
            server.execute(f"ALTER USER '{user}'@'%' IDENTIFIED BY '{password}'")
    assert scene.all_let_in(payload)
    move = {"MoveToVersionId": made["VersionId"], "RemoveFromVersionId": current["VersionId"]}
    sm.update_secret_version_stage(SecretId=scene.arn, VersionStage="AWSCURRENT", **move)
    scene.clouds.put_oci(scene.ocid, text)


if __name__ == "__main__":
    main()

"""A shared state that goes away and comes back, under a daemon and a run."""

from __future__ import annotations

import signal
import socket

import psycopg

from keepstep.state.place import place_of
from tests.hosts.fixtures import COPY, Place, until
from tests.hosts.test_daemon import EVERY_SECOND, running_pid

STUCK = """
[job.stuck]
kind = "sync"
source = "s3://bucket/"
target = "{folder}/none"
startup = true
[job.stuck.identity.aws]
endpoint_url = "http://127.0.0.1:PORT"
"""
"""A job that waits for a server's answer."""


class Outage:
    """Turns everybody away from the database, and throws out who is in it."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url.replace("/postgres", "/template1"), autocommit=True)

    def begin(self) -> None:
        self._connection.execute("ALTER DATABASE postgres ALLOW_CONNECTIONS false")
        self.throw_out()

    def throw_out(self) -> None:
        self._connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres'"
        )

    def end(self) -> None:
        self._connection.execute("ALTER DATABASE postgres ALLOW_CONNECTIONS true")


def test_the_state_goes_away_and_comes_back(place: Place, shared_url: str) -> None:
    """Meanwhile the daemon lives, is not ready, and says so once; a run keeps its lock, or takes it again."""
    place.state_url = shared_url
    deaf = socket.create_server(("127.0.0.1", 0))
    place.configure(
        EVERY_SECOND.replace("1s", "2s") + STUCK.replace("PORT", str(deaf.getsockname()[1])), drain="100ms"
    )
    place.source(a="1")
    outage = Outage(shared_url)
    with deaf, place.daemon(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b") as daemon:
        running_pid(place, daemon, "stuck")
        until(lambda: not place_of(shared_url).is_free("stuck"), daemon.log)
        daemon.wait("run ended", job="copy", outcome="done")
        outage.begin()
        try:
            daemon.wait("state")
            until(lambda: daemon.get("readyz")[0] == 503, daemon.log)
            assert daemon.get("healthz") == (200, "ok\n")
            assert daemon.get("metrics")[0] == 503
        finally:
            outage.end()
        until(lambda: daemon.get("readyz")[0] == 200, daemon.log)
        ended = len(daemon.events("run ended", job="copy", outcome="done"))
        daemon.wait("run ended", ended + 1, job="copy", outcome="done")
        until(lambda: not place_of(shared_url).is_free("stuck"), daemon.log)
        assert [run.job for run in place.history.open() if run.job == "stuck"] == ["stuck"]
        daemon.stop()
    assert b"Traceback" not in daemon.log.read_bytes()


def test_a_reload_while_the_state_is_away_waits(place: Place, shared_url: str) -> None:
    """The daemon lives, old jobs go on as soon as the state does, and the new one comes then."""
    place.state_url = shared_url
    place.configure(EVERY_SECOND)
    place.source(a="1")
    outage = Outage(shared_url)
    with place.daemon() as daemon:
        daemon.wait("run ended", job="copy", outcome="done")
        outage.begin()
        try:
            daemon.wait("state")
            more = COPY.replace("job.copy", "job.more").replace("/out", "/more").replace("@hourly", "@every 2s")
            place.configure(EVERY_SECOND + more)
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait("configuration read; its jobs wait until the state responds")
            assert daemon.get("healthz") == (200, "ok\n")
        finally:
            outage.end()
        daemon.wait("run ended", job="more", outcome="done")
        ended = len(daemon.events("run ended", job="copy", outcome="done"))
        daemon.wait("run ended", ended + 1, job="copy", outcome="done")
        assert daemon.stop() == 0
    assert b"Traceback" not in daemon.log.read_bytes()

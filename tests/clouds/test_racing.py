"""Names with several addresses, some of them dead: the first that answers is used."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import absent

NETWORK = """
set -e
ip link set lo up
ip link add dead type veth peer name hole
ip link set dead up
ip link set hole up
ip -6 addr add 2001:db8::1/64 dev dead nodad
ip -6 neigh add 2001:db8::dead lladdr 02:00:00:00:00:01 dev dead nud permanent
mount --bind "$1" /etc/hosts
exec "$2" -c "$3" "$4"
"""
"""A network whose packets to 2001:db8::dead are lost, and where the name has that address and a live one."""

CLIENT = """
import asyncio, socket, sys, time
import uvloop
from keepstep.clouds.http import HttpPool

ANSWER = b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok"

class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(ANSWER)

async def main():
    first = socket.getaddrinfo("dual.example", 80, type=socket.SOCK_STREAM)[0][4][0]
    assert first == "2001:db8::dead", first
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = HttpPool(f"http://dual.example:{port}")
    start = time.monotonic()
    assert (await pool.request("GET", "/", [])).body == b"ok"
    sock = pool._idle[0].transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    print(time.monotonic() - start)
    await pool.close()

(uvloop.run if sys.argv[1] == "uvloop" else asyncio.run)(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_dead_address_costs_a_quarter_of_a_second(tmp_path: Path, loop: str) -> None:
    """A name with a dead IPv6 address and a live IPv4 one answers at once (RFC 8305), on both event loops."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        absent("a network namespace", "no programs unshare and ip; apt-get install util-linux iproute2")
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n2001:db8::dead dual.example\n127.0.0.1 dual.example\n")
    command = ["unshare", "-n", "-m", "sh", "-c", NETWORK, "sh", str(hosts), sys.executable, CLIENT, loop]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode and any(word in ran.stderr for word in ("unshare: ", "RTNETLINK", "mount: ", "Cannot find")):
        absent("a network namespace", ran.stderr.strip())
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) < 3

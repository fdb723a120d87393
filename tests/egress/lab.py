"""A small internet on this machine: a host, an agent's network made by our recipe, and outside.

All of it is network namespaces of the test's own; nothing here has a way to the real network.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from tests.cli.terminal import INTERLOCK

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "deploy" / "netns" / "agent-net"
DOOR, DOOR_PORT = "10.200.77.1", 8080
OUTSIDE = ("1.1.1.1/32", "169.254.169.254/32", "2606:4700:4700::1111/128")

# Listens on TCP ports, answers DNS at the addresses behind them, then says so by a line.
SERVICES = """
import socket, sys, threading
def accept(listener):
    while True:
        listener.accept()[0].close()
def resolve(resolver):
    while True:
        asked, sender = resolver.recvfrom(512)
        resolver.sendto(asked[:2] + bytes([0x81, 0x80]) + asked[4:], sender)
for word in sys.argv[1:]:
    if word.isdigit():
        made = socket.create_server(("::", int(word)), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        made = socket.socket(socket.AF_INET6 if ":" in word else socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((word, 53))
    threading.Thread(target=accept if word.isdigit() else resolve, args=(made,)).start()
print("ready", flush=True)
"""


class Lab:
    """`host` runs the front door and more; `outside` has addresses of the internet."""

    def __init__(self, *, has_door: bool = True) -> None:
        """With something that listens as the front door would, unless a test brings a real one."""
        self._has_door = has_door
        self.agent = f"t{os.getpid() % 1_000_000}"
        self.host, self.outside = f"ilk-h{os.getpid()}", f"ilk-o{os.getpid()}"
        self._services: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for service in self._services:
            service.kill()
            service.communicate()
        with contextlib.suppress(subprocess.CalledProcessError):
            self.recipe("down", self.agent)
        for name in (self.host, self.outside):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)

    def recipe(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run our script on the host."""
        return self.run(self.host, str(RECIPE), *words, environ=environ)

    def run(
        self, network: str, *command: str, environ: dict[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a network, as root."""
        return subprocess.run(
            ["nsenter", f"--net=/run/netns/{network}", *command],
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
            env=os.environ | (environ or {}),
        )

    def let_agent_route(self) -> None:
        """What an agent that is root inside would do: addresses and routes for everything."""
        inside, link = f"interlock-{self.agent}", f"ilk-{self.agent}"
        for network, device in ((self.host, link), (inside, "eth0")):
            path = f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6"
            self.run(network, "sh", "-c", f"echo 0 >{path}")
        self._address(self.host, link, "fd77::1/64")
        self._address(inside, "eth0", "fd77::2/64")
        self.run(inside, "ip", "route", "replace", "default", "via", DOOR)
        self.run(inside, "ip", "-6", "route", "replace", "default", "via", "fd77::1")

    def drop_rules(self) -> None:
        """Take the recipe's rules away, and nothing else.

        They kept the agent from finding its router (RFC 4861, 7.2), so it finds it now: what is
        sent meanwhile may be lost.
        """
        self.run(self.host, "nft", "delete", "table", "inet", f"interlock_{self.agent}")
        inside = f"interlock-{self.agent}"
        self.run(inside, "ip", "-6", "neigh", "flush", "dev", "eth0")
        meet = f"import socket; socket.create_connection(('fd77::1', {DOOR_PORT}), 20)"
        self.run(inside, sys.executable, "-c", meet)

    def prove(self) -> tuple[int, list[dict[str, Any]]]:
        """`interlock doctor --egress` in the agent's network: exit code, and every attempt."""
        words = ("doctor", "--egress", "--proxy", f"{DOOR}:{DOOR_PORT}", "--json")
        done = self.run(f"interlock-{self.agent}", INTERLOCK, *words, check=False)
        assert done.stderr == ""
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def _build(self) -> None:
        for name in (self.host, self.outside):
            self.run_here("ip", "netns", "add", name)
            self.run(name, "ip", "link", "set", "lo", "up")
        peer = ("peer", "name", "up1", "netns", self.outside)
        self.run(self.host, "ip", "link", "add", "up0", "type", "veth", *peer)
        for network, device, end in ((self.host, "up0", 1), (self.outside, "up1", 2)):
            self._address(network, device, f"203.0.113.{end}/24")
            self._address(network, device, f"fd66::{end}/64")
            self.run(network, "ip", "link", "set", device, "up")
            other = 3 - end
            self.run(network, "ip", "route", "add", "default", "via", f"203.0.113.{other}")
            self.run(network, "ip", "-6", "route", "add", "default", "via", f"fd66::{other}")
        for address in OUTSIDE:
            self._address(self.outside, "lo", address)
        switches = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
        for switch in switches:
            self.run(self.host, "sh", "-c", f"echo 1 >/proc/sys/net/{switch}")
        self.recipe("up", self.agent, str(DOOR_PORT), "77")
        self._serve(self.outside, "80", "443", "1.1.1.1", "2606:4700:4700::1111")
        self._serve(self.host, *([str(DOOR_PORT)] if self._has_door else []), "9080")

    def _address(self, network: str, device: str, address: str) -> None:
        nodad = ["nodad"] if ":" in address else []
        self.run(network, "ip", "address", "add", address, "dev", device, *nodad)

    def _serve(self, network: str, *what: str) -> None:
        words = ["nsenter", f"--net=/run/netns/{network}", sys.executable, "-c", SERVICES]
        service = subprocess.Popen([*words, *what], stdout=subprocess.PIPE, text=True)
        self._services.append(service)
        assert service.stdout is not None
        assert service.stdout.readline() == "ready\n"

    @staticmethod
    def run_here(*command: str) -> None:
        """Run a command on this machine."""
        subprocess.run(command, check=True, capture_output=True)


def needed() -> None:
    """Skip, and say how to get what is missing."""
    missing = [name for name in ("ip", "nft", "nsenter", "setpriv") if not shutil.which(name)]
    if os.geteuid() or missing:
        pytest.skip("needs root and iproute2, nftables, util-linux (apt-get install nftables)")

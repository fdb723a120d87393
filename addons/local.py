"""Local capture: programs on this machine that know of no proxy, taken over in the kernel.

mitmproxy's redirector hands them over, DNS included. What is dialled is the name that the agent
says, so every name may lead anywhere: no question of an agent's leaves this machine.
"""

import asyncio
import logging
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import mitmproxy_rs
from mitmproxy import connection, ctx, dns
from mitmproxy.net.dns import classes, types
from mitmproxy.proxy.mode_servers import LocalRedirectorInstance
from mitmproxy.proxy.mode_specs import LocalMode, ProxyMode

from addons.background import Background

log = logging.getLogger(__name__)

# What every name resolves to (RFC 2544, for tests of networks: nobody lives there), for a moment.
SOMEWHERE, TTL_S = b"\xc6\x12\x00\x01", 1
DNS_PORT = 53
POLL_S = 0.5
CGROUPS = Path("/sys/fs/cgroup/cgroup.controllers")


class Local:
    """Answers DNS, refuses every other datagram, and stops with the capture."""

    def __init__(self) -> None:
        self._background = Background()

    def running(self) -> None:
        """Watch the redirector."""
        if any(isinstance(ProxyMode.parse(text), LocalMode) for text in ctx.options.mode):
            self._background.begin(self._watch)

    def done(self) -> None:
        """Stop watching."""
        self._background.stop()

    def client_connected(self, client: connection.Client) -> None:
        """HTTP/3, and whatever else is said in datagrams, goes nowhere."""
        if client.transport_protocol == "udp" and client.sockname[1] != DNS_PORT:
            client.error = "Interlock: no datagrams but of DNS"

    async def dns_request(self, flow: dns.DNSFlow) -> None:
        """Every name has the same address of IPv4, and nothing else."""
        asked = flow.request.question
        answers = []
        if asked and (asked.class_, asked.type) == (classes.IN, types.A):
            answers = [dns.ResourceRecord(asked.name, types.A, classes.IN, TTL_S, SOMEWHERE)]
        flow.response = flow.request.succeed(answers)

    async def _watch(self) -> None:
        """End when the redirector has: nothing is captured any more, so nobody may believe so."""
        instance: Any = LocalRedirectorInstance
        while instance._server is None:  # noqa: ASYNC110 - it is started by another addon
            await asyncio.sleep(POLL_S)
        if sys.platform.startswith("linux"):
            while _captures():  # noqa: ASYNC110 - `wait_closed` does not tell when it is killed
                await asyncio.sleep(POLL_S)
        else:
            await instance._server.wait_closed()
        log.error("interlock: the local capture has ended, nothing is governed; the proxy stops")
        ctx.master.shutdown()


def _captures() -> bool:
    """Say whether a child of ours is the redirector, or the sudo that it runs under."""
    listed = Path("/proc/self/task").glob("*/children")
    for child in " ".join(one.read_text() for one in listed).split():
        with suppress(OSError):
            name, state = Path(f"/proc/{child}/stat").read_text().partition("(")[2].rsplit(") ", 1)
            if name.startswith(("mitmproxy-linux", "sudo")) and not state.startswith("Z"):
                return True
    return False


def require_local() -> None:
    """Raise ValueError that says what local capture lacks here."""
    if why := mitmproxy_rs.local.LocalRedirector.unavailable_reason():
        raise ValueError(why)
    if not sys.platform.startswith("linux"):
        return
    if not shutil.which("sudo"):
        raise ValueError("it needs `sudo`, which mitmproxy calls even as root")
    if not CGROUPS.is_file():
        raise ValueError(f"it needs cgroup v2 mounted at {CGROUPS.parent}")

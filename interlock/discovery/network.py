"""Finds servers and agents by asking ports of private networks, in bounded numbers at a time."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import httpx

from interlock.discovery.endpoint import SOURCE, sightings_at
from interlock.discovery.sighting import Sighting, Trouble

CONNECT_S, ANSWER_S = 1.0, 2.0
# What one host and port may cost in all, however slowly it answers.
TARGET_S = 6.0
MOST_HOSTS = 65_536

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Ports:
    """Ranges and ports to look at; `at_once` connections, `rate` new ones a second."""

    ranges: Sequence[Network]
    ports: Sequence[int]
    at_once: int = 200
    rate: int = 2_000
    source: str = SOURCE

    def scan(self) -> Iterator[Sighting | Trouble]:
        """Look at every port once."""
        yield from asyncio.run(self._scan())

    async def _scan(self) -> list[Sighting]:
        free = asyncio.Semaphore(self.at_once)
        limits = httpx.Limits(max_connections=self.at_once, max_keepalive_connections=0)
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        async with httpx.AsyncClient(
            trust_env=False,
            verify=False,  # noqa: S501 - nothing but public facts is sent or believed
            timeout=timeout,
            limits=limits,
        ) as client:

            async def look(host: str, port: int) -> list[Sighting]:
                async with free:
                    return await _look(client, host, port)

            tasks = [asyncio.create_task(look(*target)) async for target in self._targets()]
            found = await asyncio.gather(*tasks)
        return [sighting for each in found for sighting in each]

    async def _targets(self) -> AsyncIterator[tuple[str, int]]:
        """Host and port, no more of them a second than `rate`."""
        began, count = asyncio.get_running_loop().time(), 0
        for network in self.ranges:
            for host in network.hosts():
                for port in self.ports:
                    yield str(host), port
                    count += 1
                    if count % 50 == 0:
                        due = began + count / self.rate
                        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))


def parse_range(text: str, *, allow_public: bool = False) -> Network:
    """Read a CIDR range; raises ValueError for a public or a very large one."""
    network = ipaddress.ip_network(text, strict=False)
    if not allow_public and not (network.is_private or network.is_loopback):
        raise ValueError(f"{text} is public: set allow_public = true if it is yours to be scanned")
    if network.num_addresses > MOST_HOSTS:
        raise ValueError(f"{text} has more than {MOST_HOSTS} addresses: name smaller ranges")
    return network


async def _look(client: httpx.AsyncClient, host: str, port: int) -> list[Sighting]:
    if not await _is_open(host, port):
        return []
    bracketed = f"[{host}]" if ":" in host else host
    found: list[Sighting] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(TARGET_S):
            for scheme in ("http", "https"):
                base = f"{scheme}://{bracketed}:{port}"
                async for sighting in sightings_at(client, base, host):
                    found.append(sighting)
                if found:
                    break
    return found


async def _is_open(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True

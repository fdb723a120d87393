"""Lets several processes accept connections from the same listening sockets.

The sockets are opened once and inherited. With SO_REUSEPORT each process would have a queue of
its own, and what waits in it would be lost whenever its process ends (docs/decisions/0003).
"""

import asyncio
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from mitmproxy.proxy.mode_servers import AsyncioServerInstance
from mitmproxy.proxy.mode_specs import ProxyMode

BACKLOG = 1024

# (host, port) as a mode asks for them: the sockets that serve it.
type Sockets = dict[tuple[str, int], list[socket.socket]]


def open_sockets(modes: Iterable[str], default_host: str) -> Sockets:
    """Listen wherever these modes want to; raises OSError that names the address."""
    opened: Sockets = {}
    try:
        for text in modes:
            mode = ProxyMode.parse(text)
            host, port = mode.listen_host(default_host), mode.listen_port()
            if port is not None and (host, port) not in opened:
                opened[host, port] = []
                _listen(opened[host, port], host, port)
    except OSError:
        close(opened)
        raise
    return opened


def close(sockets: Sockets) -> None:
    """Close this process's hold on all of them."""
    for one in sockets.values():
        for listening in one:
            listening.close()


def inherit(handles: Mapping[str, Iterable[int]]) -> Sockets:
    """Take over sockets by their file descriptors; keys are `host port`."""
    taken: Sockets = {}
    for key, numbers in handles.items():
        host, _, port = key.rpartition(" ")
        taken[host, int(port)] = [socket.socket(fileno=number) for number in numbers]
    return taken


def handles_of(sockets: Sockets) -> dict[str, list[int]]:
    """The file descriptors of sockets, for `inherit` in a process that keeps them open."""
    return {
        f"{host} {port}": [listening.fileno() for listening in one]
        for (host, port), one in sockets.items()
    }


def share(sockets: Sockets) -> None:
    """Have every mode of this process accept from these sockets instead of its own."""

    async def listen(instance: Any, host: str, port: int) -> list[asyncio.Server]:
        return [await _serve(instance, listening) for listening in sockets[host, port]]

    instances: Any = AsyncioServerInstance
    instances.listen = listen


async def _serve(instance: Any, listening: socket.socket) -> asyncio.Server:
    """Accept one connection at a time, so that a burst is spread over all processes."""
    server = await asyncio.start_server(instance.handle_stream, sock=listening, backlog=1)
    listening.listen(BACKLOG)  # asyncio takes the number of accepts in a row for this too
    return server


def _listen(opened: list[socket.socket], host: str, port: int) -> None:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in sorted(set(found)):
        listening = socket.socket(family, kind, protocol)
        opened.append(listening)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError as e:
            raise OSError(e.errno, f"cannot listen on {host or '*'}:{port}: {e.strerror}") from None
        listening.setblocking(False)

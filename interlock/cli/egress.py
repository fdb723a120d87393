"""Tries to get out past the front door, by every way that a network may leave open."""

import encodings.idna  # noqa: F401 - for names, and found nowhere once we look from elsewhere
import errno
import os
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from interlock.errors import InterlockError
from interlock.model import Authority

# Addresses that answer from anywhere on the internet (public resolvers), and those by which
# clouds tell a machine its own credentials.
PUBLIC = ("1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "2001:4860:4860::8888")
METADATA = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254")
PUBLIC_PORTS = (22, 53, 80, 443, 853, 8443)
# What a host offers that must not be offered to an agent: our own API among it.
HOST_PORTS = (
    *(21, 22, 25, 53, 80, 111, 139, 389, 443, 445, 631, 1080, 2049, 2375, 2376, 2379, 3000, 3128),
    *(3306, 4000, 5000, 5432, 5672, 6379, 6443, 8000, 8080, 8081, 8200, 8443, 8888, 9000, 9080),
    *(9090, 9100, 9200, 9443, 9999, 10250, 11211, 27017),
)
# Whoever may talk to these has a process started outside, whatever network he is in himself.
SOCKETS = (
    *("/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"),
    *("/run/containerd/containerd.sock", "/run/crio/crio.sock"),
    *(f"/run/user/{os.getuid()}/{name}" for name in ("bus", "docker.sock", "systemd/private")),
)
TRY_S = 2.0
# How often something without retransmission is sent in that time: the first packet to a router
# may be lost while its neighbour is looked up.
SENT = 4
AT_ONCE = 256
QUESTION = b"\x07example\x03com\x00\x00\x01\x00\x01"
# Answers of a resolver that has asked somebody (RFC 1035, 4.1.1): no error, and no such name.
TOLD = (0, 3)
UNLIKELY_PORT = 33434  # where traceroute begins


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way that was tried: `way` names it, `found` says what came of it."""

    way: str
    open: bool
    found: str


class EgressError(InterlockError):
    """It cannot be looked from there."""


type Attempts = list[tuple[str, Callable[[], str]]]


class Closed(Exception):
    """Nothing got through; the message says how that showed."""


def look_from(pid: int) -> None:
    """Go where a process is: into its network, and to its files (Linux, setns(2))."""
    try:
        handle = os.pidfd_open(pid)
        os.setns(handle, os.CLONE_NEWNET | os.CLONE_NEWNS)
    except AttributeError:
        raise EgressError("--pid needs namespaces, which only Linux has") from None
    except OSError as e:
        raise EgressError(f"--pid {pid}: {e.strerror}; this takes root") from None


def try_all(door: Authority, targets: Sequence[str]) -> Iterator[Attempt]:
    """Yield what came of each way: the front door first, then all that should be closed."""
    yield _tried("front door", partial(_tcp, door.host, door.port))
    attempts = [*_outside((*PUBLIC, *targets)), *_host(door), *_names(), *_sockets()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(lambda attempt: _tried(*attempt), attempts)


def _tried(way: str, attempt: Callable[[], str]) -> Attempt:
    try:
        return Attempt(way, True, attempt())
    except Closed as e:
        return Attempt(way, False, str(e))
    except OSError as e:
        return Attempt(way, False, e.strerror or str(e) or "no answer")


def _outside(addresses: Iterable[str]) -> Attempts:
    """TCP, UDP, DNS and ICMP to machines elsewhere, and TCP to what tells credentials."""
    found: Attempts = []
    for at in addresses:
        found += [(f"tcp {_shown(at, port)}", partial(_tcp, at, port)) for port in PUBLIC_PORTS]
        found += [(f"udp {_shown(at, UNLIKELY_PORT)}", partial(_udp, at))]
        found += [(f"dns {at}", partial(_dns, at)), (f"icmp {at}", partial(_icmp, at))]
    return found + [(f"metadata {at}", partial(_tcp, at, 80)) for at in METADATA]


def _host(door: Authority) -> Attempts:
    """Other ports where the front door is, and where our packets would go by default."""
    found: Attempts = []
    for port in HOST_PORTS:
        if port != door.port:
            found += [(f"tcp {_shown(door.host, port)}", partial(_listens, door.host, port))]
        for host in sorted({*_gateways()} - {door.host}):
            found += [(f"tcp {_shown(host, port)}", partial(_tcp, host, port))]
    return found


def _names() -> Attempts:
    """The resolvers that this system is told to ask, and the one that Docker puts inside."""
    servers = {"127.0.0.11"}
    with suppress(OSError):
        words = [line.split() for line in Path("/etc/resolv.conf").read_text().splitlines()]
        servers |= {pair[1] for pair in words if len(pair) > 1 and pair[0] == "nameserver"}
    return [(f"dns {at}", partial(_dns, at)) for at in sorted(servers)]


def _sockets() -> Attempts:
    return [(f"socket {path}", partial(_unix, path)) for path in SOCKETS]


def _tcp(host: str, port: int) -> str:
    """Connect. A refusal by another machine is an answer; by our own network it is none."""
    try:
        socket.create_connection((host, port), TRY_S).close()
    except ConnectionRefusedError:
        if _is_ours(host):
            raise
        return "it answered, although nothing listens there"
    except TimeoutError:
        raise Closed("no answer") from None
    return "connected"


def _listens(host: str, port: int) -> str:
    """Connect to the front door's own machine, which may well say that nothing listens there."""
    socket.create_connection((host, port), TRY_S).close()
    return "connected"


def _udp(address: str) -> str:
    """Send a datagram where nobody listens: that somebody says so is an answer."""
    with _datagram(address, UNLIKELY_PORT) as sending:
        try:
            _answer(sending, b"interlock doctor")
        except ConnectionRefusedError:
            if _is_ours(address):
                raise
        return "it answered"


def _dns(address: str) -> str:
    """Ask for a name (RFC 1035, 4.1)."""
    asked = secrets.token_bytes(2)
    with _datagram(address, 53) as resolver:
        head = asked + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
        answer = _answer(resolver, head + QUESTION)
    code = answer[3] & 0x0F if len(answer) > 3 and answer[:2] == asked else -1
    if code not in TOLD:
        raise Closed(f"the resolver has nobody to ask (code {code})")
    return "it resolves names"


def _icmp(address: str) -> str:
    """Ping (RFC 792, RFC 4443), by a raw socket or, without that right, an unprivileged one."""
    v6 = ":" in address
    family = socket.AF_INET6 if v6 else socket.AF_INET
    protocol = socket.getprotobyname("ipv6-icmp" if v6 else "icmp")
    try:
        pinging = socket.socket(family, socket.SOCK_RAW, protocol)
    except PermissionError:
        pinging = socket.socket(family, socket.SOCK_DGRAM, protocol)
    with pinging:
        pinging.connect((address, 0))
        head = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 0x496C, 1)
        # The kernel fills in the checksum for IPv6, and for unprivileged sockets.
        total = sum(struct.unpack("!4H", head))
        _answer(pinging, head[:2] + struct.pack("!H", ~total & 0xFFFF) + head[4:])
    return "it answered"


def _unix(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(TRY_S)
        asking.connect(path)
    return "connected"


def _answer(one: socket.socket, question: bytes) -> bytes:
    """Ask until there is an answer; raises Closed when none comes, OSError for another reason."""
    one.settimeout(TRY_S / SENT)
    for _ in range(SENT):
        try:
            one.send(question)
            return one.recv(512)
        except TimeoutError:
            why = "no answer"
        except OSError as e:
            # So it is told where no neighbour was found, who may be found the next time.
            if e.errno != errno.EHOSTUNREACH:
                raise
            why = str(e.strerror)
            time.sleep(TRY_S / SENT)
    raise Closed(why)


def _datagram(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.connect((address, port))
    except OSError:
        made.close()
        raise
    return made


def _is_ours(host: str) -> bool:
    """True for an address of the network that we are in ourselves."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def _gateways() -> Iterator[str]:
    """The routers of IPv4 that Linux would send by (proc(5), /proc/net/route)."""
    with suppress(OSError):
        for line in Path("/proc/net/route").read_text().splitlines()[1:]:
            gateway = int(line.split()[2], 16)
            if gateway:
                yield socket.inet_ntoa(struct.pack("=I", gateway))


def _shown(host: str, port: int) -> str:
    return str(Authority(host, port))

"""A resolver in the attacker's hand: what `.test` names lead to, as he likes, and differently."""

import ipaddress
import itertools
import socket
import time
from typing import Any

LOOPBACK = "127.0.0.1"
# How long a name takes that begins with `slow`.
SLOW_S = 10.0
ANSWERS = {
    "loopback.test": [["127.0.0.2"]],
    "unspecified.test": [["0.0.0.0"]],
    "private.test": [["10.0.0.1"]],
    "metadata.test": [["169.254.169.254"]],
    "shared-space.test": [["100.64.0.1"]],
    "six.test": [["::1"]],
    "mapped.test": [["::ffff:127.0.0.2"]],
    "translated.test": [["64:ff9b::7f00:2"]],
    "tunnel.test": [["2002:7f00:2::"]],
    "local.test": [["fe80::1"]],
    "unique-local.test": [["fd00::1"]],
    "one-of-two.test": [["1.1.1.1", "127.0.0.2"]],
    # The first look is at what may be dialled, every later one is not.
    "rebind.test": [[LOOPBACK], ["127.0.0.2"]],
}

real = socket.getaddrinfo
asked = {
    name: itertools.chain(answers, itertools.repeat(answers[-1]))
    for name, answers in ANSWERS.items()
}


def getaddrinfo(host: Any, port: Any, *args: Any, **more: Any) -> Any:
    """Answer for `.test`; addresses and this machine's own name are none of ours."""
    name = host.decode() if isinstance(host, bytes) else host or ""
    if _is_address(name) or name == "localhost":
        return real(host, port, *args, **more)
    if not name.endswith(".test"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    if name.startswith("slow"):
        time.sleep(SLOW_S)
    addresses = next(asked[name]) if name in asked else [LOOPBACK]
    return [answer for one in addresses for answer in real(one, port, *args, **more)]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


socket.getaddrinfo = getaddrinfo

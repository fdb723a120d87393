"""Ports of this machine that stay free until whoever asked for them listens."""

import itertools
import os
import socket

# Below those that systems give to outgoing connections and to listeners that name no port.
_FIRST, _SPAN = 10_000, 22_000
# A prime number of ports between processes that begin one after the other: two that ask at the
# same time are not given the same ones, and none is given twice while a process is young.
_APART = 1_009
_numbers = itertools.count(os.getpid() * _APART)


def free_ports(count: int) -> list[int]:
    """Answer ports of 127.0.0.1 that nobody listens on; raises OSError when there are none."""
    found: list[int] = []
    for number in itertools.islice(_numbers, _SPAN):
        if len(found) == count:
            break
        port = _FIRST + number % _SPAN
        if _is_free(port):
            found.append(port)
    if len(found) < count:
        raise OSError("there is no free port between 10000 and 32000")
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

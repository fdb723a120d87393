"""Runs a command in a network of its own, from which nothing but the front door is reached.

The child gets a new user and network namespace (Linux, user_namespaces(7)): in it is a loopback
and nothing else. On that loopback it listens where the front door would, and hands the listening
socket to us, who stay outside: a socket belongs for good to the network that it was made in, so
what connects to it inside is accepted here, and passed on to the front door. The sockets by which
a container engine or systemd would start a process outside are covered, for no network does that.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from interlock.cli.egress import SOCKETS
from interlock.errors import InterlockError
from interlock.model import Authority

INSIDE = "127.0.0.1"
BACKLOG = 128
CONNECT_S = 10.0
# ioctl numbers and flag of netdevice(7).
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
MS_BIND = 0x1000  # of mount(2)
INSTEAD = "run it in a network that only leads to the front door instead (docs/deploy.md)"


class IsolationError(InterlockError):
    """This system does not allow a network of its own; nothing was started."""


def seen_from_inside(door: Authority) -> Authority:
    """Where the isolated command finds a front door."""
    return Authority(INSIDE, door.port)


def start(
    command: Sequence[str], environ: Mapping[str, str], door: Authority
) -> subprocess.Popen[bytes]:
    """Start a command that reaches nothing but `door`; raises IsolationError.

    The relay lives as long as this process.
    """
    if not hasattr(os, "unshare") or not hasattr(os, "CLONE_NEWUSER"):
        raise IsolationError(f"--isolate needs namespaces, which only Linux has: {INSTEAD}")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            child = subprocess.Popen(
                list(command), env=environ, preexec_fn=lambda: _enter(theirs, door.port)
            )
        except subprocess.SubprocessError:
            why = ours.recv(1024).decode()
            raise IsolationError(
                f"--isolate: the kernel does not allow it: {why}; {INSTEAD}"
            ) from None
        _, handles, _, _ = socket.recv_fds(ours, 1024, 1)
    listener = socket.socket(fileno=handles[0])
    threading.Thread(target=_relay, args=(listener, door), daemon=True).start()
    return child


def _enter(channel: socket.socket, port: int) -> None:
    """In the child, before the command: go into the new network and hand its socket out."""
    try:
        listener = _listener_inside(port)
    except OSError as e:
        channel.send(f"{e.strerror} ({e.filename or 'unshare'})".encode())
        raise
    socket.send_fds(channel, [b"here"], [listener.fileno()])


def _listener_inside(port: int) -> socket.socket:
    """Leave user, mount and network namespace, stay who we are, and listen in the new one.

    Twice over, because what is mounted in the first cannot be unmounted from the second
    (mount_namespaces(7), restrictions), not even by root in there.
    """
    _unshare(os.CLONE_NEWNET)
    for path in filter(os.path.exists, SOCKETS):
        _cover(path)
    listener = socket.socket()
    request = struct.pack("16sH14x", b"lo", 0)
    (flags,) = struct.unpack_from("H", fcntl.ioctl(listener, SIOCGIFFLAGS, request), 16)
    fcntl.ioctl(listener, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
    listener.bind((INSIDE, port))
    listener.listen(BACKLOG)
    _unshare(0)
    return listener


def _unshare(more: int) -> None:
    """Go into a user and a mount namespace of our own, under the same ids."""
    user, group = os.geteuid(), os.getegid()
    os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNS | more)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _cover(path: str) -> None:
    """Mount /dev/null over it; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"/dev/null", os.fsencode(os.path.realpath(path)), None, MS_BIND, None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


def _relay(listener: socket.socket, door: Authority) -> None:
    """Pass every connection that is made inside on to the front door."""
    while True:
        inner, _ = listener.accept()
        threading.Thread(target=_pass_on, args=(inner, door), daemon=True).start()


def _pass_on(inner: socket.socket, door: Authority) -> None:
    there = (door.host, door.port)
    with inner, suppress(OSError), socket.create_connection(there, CONNECT_S) as outer:
        outer.settimeout(None)
        back = threading.Thread(target=_copy, args=(outer, inner), daemon=True)
        back.start()
        _copy(inner, outer)
        back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Copy until the source says no more; what breaks on one side breaks on the other."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

"""Who is at the other end of a line: a user, as the kernel says, or a name on a certificate."""

import contextlib
import grp
import os
import pwd
import socket
import struct
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
NAMED = {"DNS", "URI"}


def user_of(line: socket.socket) -> tuple[int, int]:
    """The ids of the user and the process at the other end of a Unix socket."""
    raw = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return uid, pid


def user_name(uid: int) -> str:
    """The name of a user, or the number where there is none."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def group_name(gid: int) -> str:
    """The name of a group, or the number where there is none."""
    with contextlib.suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)


def require_owner(line: socket.socket, path: Path) -> None:
    """Raise PermissionError unless who serves a socket may: root, us, or the folder's owner.

    Whoever else could put a socket there would be told which secrets are asked for.
    """
    uid, _ = user_of(line)
    if uid not in {0, os.geteuid(), path.parent.stat().st_uid}:
        who = f"user {user_name(uid)} serves it, who does not own {path.parent}"
        raise PermissionError(f"{who}: chown the folder to the user of the broker")


def name_on(certificate: Mapping[str, Any], known: Collection[str]) -> str:
    """The name on a verified certificate that is one of `known`; empty when there is none.

    A DNS name or a URI such as a SPIFFE ID counts; the common name only where there are neither
    (RFC 9525, 2, has done with it).
    """
    return next((name for name in _names_on(certificate) if name in known), "")


def _names_on(certificate: Mapping[str, Any]) -> Iterator[str]:
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in NAMED]
    if names:
        yield from names
        return
    for part in certificate.get("subject", ()):
        yield from (value for kind, value in part if kind == "commonName")

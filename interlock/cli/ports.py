"""Is a port free, and if not, who listens there (as far as this machine lets us see)."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LISTENING = "0A"  # TCP_LISTEN, linux/net/tcp_states.h


def is_free(port: int) -> bool:
    """True when a program of ours could listen on this port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def listener(port: int) -> str:
    """Name the process that listens on a port, such as `mitmdump, pid 12`; empty if unknown.

    Reads proc(5), so that it answers on Linux only, and only for processes that we may look at.
    """
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(str(handle.readlink()) in wanted for handle in (process / "fd").iterdir()):
                return f"{_program(process)}, pid {process.name}"
    return ""


def _inodes(port: int) -> Iterator[str]:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _program(process: Path) -> str:
    """The script for an interpreter, else the program: the last of the first two words named."""
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    names = [Path(word).name for word in words[:2] if word and not word.startswith("-")]
    interpreted = len(names) > 1 and names[0].startswith("python")
    return names[1 if interpreted else 0] if names else (process / "comm").read_text().strip()

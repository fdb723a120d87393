"""The machine that a benchmark runs on, and what its processes take."""

import os
import platform
import socket
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def about() -> dict[str, object]:
    """What a reader has to know beside the figures."""
    return {
        "python": platform.python_version(),
        "mitmproxy": version("mitmproxy"),
        "cores": os.cpu_count(),
        "load": load(),
    }


def load() -> list[float]:
    """How many processes wanted a core, over the last 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def tree(pid: int) -> tuple[int, ...]:
    """A process and all that it has started."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (pid, *(inner for child in below for inner in tree(int(child))))


def cpu_of(pids: Iterable[int]) -> float:
    """Seconds of CPU that processes have taken so far, user and system."""
    return sum(map(_cpu, pids))


def memory_of(pids: Iterable[int]) -> int:
    """Bytes of memory that processes hold."""
    pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def peak_of(pids: Iterable[int]) -> int:
    """The most bytes of memory that each process ever held, added up."""
    return sum(_peak(pid) for pid in pids)


def files_of(pids: Iterable[int]) -> int:
    """How many file descriptors processes have open."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def listens(port: int) -> bool:
    """Say whether somebody answers there, on this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS

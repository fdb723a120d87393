"""The machine that a benchmark runs on, and what its processes take."""

import os
import platform
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
        "load": [round(value, 2) for value in os.getloadavg()],
    }


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


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS

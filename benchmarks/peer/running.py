"""Runs a proxy of others as a process of its own, until the end of the comparison."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from benchmarks.machine import tree
from benchmarks.peer.installed import NODE, PeerMissingError

START_S = 90.0
BARE = ("PATH", "LANG", "TMPDIR")


class Started:
    """A process and what it wrote."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.process, self._log = process, log

    @property
    def pids(self) -> tuple[int, ...]:
        """The process and all that it has started."""
        return tree(self.process.pid)

    @property
    def log(self) -> str:
        """Everything that it has written so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def wait(self, ready: Callable[[], bool]) -> None:
        """Wait until it is; raises PeerMissingError with its last words when it never is."""
        deadline = time.monotonic() + START_S
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                last = " / ".join(self.log.strip().splitlines()[-3:])
                raise PeerMissingError(f"it did not start: {last}")
            time.sleep(0.1)


def start(
    stack: ExitStack, folder: Path, command: Sequence[str], environ: Mapping[str, str]
) -> Started:
    """Start it in a folder, with a home of its own and nothing of this environment but a path."""
    log = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the stack closes it
    stack.enter_context(log)
    bare = {name: os.environ[name] for name in BARE if name in os.environ}
    bare["PATH"] = f"{NODE.parent}{os.pathsep}{bare['PATH']}"
    process = subprocess.Popen(  # noqa: S603 - what was installed for this
        list(command),
        cwd=folder,
        env=bare | {"HOME": str(folder)} | environ,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    stack.callback(_stop, process)
    return Started(process, log)


def _stop(process: subprocess.Popen[bytes]) -> None:
    pids = tree(process.pid)[1:] if process.poll() is None else ()
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in pids:
        # A child that outlives its parent, which was killed.
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, 9)

"""Starts the front door the way the README tells people to, as a process of its own."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

import addons
from interlock.demo.ports import free_ports

SCRIPT = Path(addons.__file__).parent / "governance.py"
# Beside much else that runs, as in CI.
START_S = 120.0
STOP_S = 30.0
READY = re.compile(r"interlock: (observe|enforce) mode")


class FrontDoor:
    """`mitmdump -s addons/governance.py` over one home, stopped and waited for at the end.

    `options` are further words of its command line, `reverse` upstreams of further listeners such
    as `https://localhost:8443`, `modes` others of another kind; each gets a free port in `ports`,
    the proxy's own first.
    """

    def __init__(
        self,
        home: Path,
        *options: str,
        reverse: Sequence[str] = (),
        modes: Sequence[str] = (),
        program: str = "mitmdump",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        listeners = ["regular", *(f"reverse:{url}" for url in reverse), *modes]
        self.ports = free_ports(len(listeners))
        self.command = [str(Path(sys.executable).parent / program)]
        self.command += ["proxy"] if program == "interlock" else ["-s", str(SCRIPT)]
        self.command += ["--set", f"interlock_home={home}", *options]
        for mode, port in zip(listeners, self.ports, strict=True):
            self.command += ["--mode", f"{mode}@127.0.0.1:{port}"]
        self._environ = {**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})}
        self._log: IO[bytes]
        self.process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """`host:port` of the proxy."""
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def ca(self) -> Path:
        """The certificate that agents have to trust."""
        return self.home / "ca" / "interlock-ca.pem"

    @property
    def log(self) -> str:
        """Everything that the process has written so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def proxy(self, agent: str = "", key: str = "") -> str:
        """The value of HTTPS_PROXY for an agent."""
        return f"http://{agent}:{key}@{self.address}" if agent else f"http://{self.address}"

    def __enter__(self) -> Self:
        """Start and wait until it serves; raises RuntimeError with its log when it does not."""
        self._log = tempfile.TemporaryFile(dir=self.home.parent)
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=self._environ,
        )
        try:
            self._await_service()
        except BaseException:
            self._stop()
            self._log.close()
            raise
        return self

    def __exit__(self, _: object, error: object, *__: object) -> None:
        self._stop()
        if isinstance(error, Exception):
            sys.stderr.write(self.log)
        self._log.close()

    def _await_service(self) -> None:
        deadline = time.monotonic() + START_S
        while not self._serves():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the front door did not start:\n{self.log}")
            time.sleep(0.05)

    def _stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _serves(self) -> bool:
        return READY.search(self.log) is not None and all(map(_answers, self.ports))


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0

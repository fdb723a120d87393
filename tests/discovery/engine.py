"""A Docker engine of our own, with images made of busybox, and a network that it shares with us.

It needs root, `dockerd` (Debian: docker.io) and a static busybox (Debian: busybox-static). The
engine of the machine, if there is one, is left alone.
"""

import contextlib
import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import docker
import docker.types
import pytest

APPLETS = ("sh", "sleep", "wget", "nc")
SLEEPS = "#!/bin/sh\nsleep 600\n"
START_S = 60
HOW = "apt-get install docker.io busybox-static, and run as root"


class Engine:
    """`dockerd` over a folder of its own; `network` has containers with addresses."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="ilk-docker-", dir="/tmp"))
        self.host = f"unix://{self.folder}/docker.sock"
        self._log = (self.folder / "log").open("wb")
        self._process = subprocess.Popen(
            [
                *("dockerd", "--host", self.host, "--data-root", f"{self.folder}/data"),
                *("--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid"),
                *("--bridge", "none", "--iptables=false", "--ip-forward=false"),
                *("--ip-masq=false", "--userland-proxy=false", "--storage-driver", "vfs"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self.client = self._connect()
            self._furnish()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(AttributeError, docker.errors.DockerException):
            self.clear()
            self.network.remove()
            self.client.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, name: str, *command: str, **more: Any) -> Any:
        """Start a container; like a person it gets root and a writable file system by default."""
        environment: Mapping[str, str] = more.pop("env", {})
        more.setdefault("network", self.network.name)
        return self.client.containers.run(
            more.pop("image", "team/base:1"),
            list(command or ("sleep", "600")),
            name=name,
            environment=environment,
            detach=True,
            **more,
        )

    def clear(self) -> None:
        """Remove every container."""
        for container in self.client.containers.list(all=True):
            container.remove(force=True)

    def address(self, container: Any) -> str:
        """The address of a container in the network."""
        container.reload()
        return str(container.attrs["NetworkSettings"]["Networks"][self.network.name]["IPAddress"])

    def image(self, name: str, **files: str) -> None:
        """Make an image of busybox and these programs in /bin."""
        busybox = Path(str(shutil.which("busybox")))
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as root:
            folder = tarfile.TarInfo("bin")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            root.addfile(folder)
            root.add(busybox.resolve(), "bin/busybox")
            for applet in APPLETS:
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                root.addfile(link)
            for program, text in files.items():
                entry = tarfile.TarInfo(f"bin/{program}")
                entry.mode, entry.size = 0o755, len(text)
                root.addfile(entry, io.BytesIO(text.encode()))
        repository, _, tag = name.rpartition(":")
        self.client.api.import_image_from_data(packed.getvalue(), repository, tag)

    def _furnish(self) -> None:
        number = os.getpid() % 200
        pool = docker.types.IPAMPool(subnet=f"10.213.{number}.0/24", gateway=f"10.213.{number}.1")
        self.gateway = f"10.213.{number}.1"
        self.network = self.client.networks.create(
            "agents",
            driver="bridge",
            ipam=docker.types.IPAMConfig(pool_configs=[pool]),
            options={"com.docker.network.bridge.name": f"ilk{number}"},
        )
        self.image("team/base:1")
        self.image("acme/crewai-worker:2")
        pip = """#!/bin/sh\necho '[{"name": "langgraph", "version": "0.6.1"}]'\n"""
        self.image("team/deep:1", pip=pip, crewai=SLEEPS)

    def _connect(self) -> Any:
        deadline = time.monotonic() + START_S
        while not _answers(f"{self.folder}/docker.sock"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"dockerd did not start:\n{log[-2000:]}")
            time.sleep(0.1)
        return docker.DockerClient(self.host, version="auto", timeout=60)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def own_engine() -> Iterator[Engine]:
    """An engine for tests, or a skip that says how to get one."""
    if os.geteuid() or not shutil.which("dockerd") or not shutil.which("busybox"):
        pytest.skip(f"no Docker engine can be started here: {HOW}")
    with Engine() as engine:
        yield engine
